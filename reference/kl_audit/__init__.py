"""Audits the reference against mpmath with 70 digits, without sharing its code."""
