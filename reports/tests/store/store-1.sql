-- A store of schema 1, with one run of one cell.
BEGIN TRANSACTION;
CREATE TABLE kl_asked (
    run INTEGER NOT NULL,
    position INTEGER NOT NULL,
    "column" INTEGER NOT NULL,
    PRIMARY KEY (run, position),
    FOREIGN KEY(run) REFERENCES kl_run (id),
    FOREIGN KEY("column") REFERENCES kl_column (id)
) WITHOUT ROWID;
INSERT INTO "kl_asked" VALUES(1,0,1);
CREATE TABLE kl_column (
    id INTEGER NOT NULL,
    "key" TEXT NOT NULL,
    implementation TEXT NOT NULL,
    framework TEXT NOT NULL,
    package TEXT NOT NULL,
    version TEXT NOT NULL,
    device TEXT NOT NULL,
    dtype TEXT NOT NULL,
    mode TEXT NOT NULL,
    PRIMARY KEY (id)
);
INSERT INTO "kl_column" VALUES(1,'torch.kl_div-2.12.0-cpu-float32-eager','torch.kl_div','torch','torch','2.12.0','cpu','float32','eager');
CREATE TABLE kl_requirement (
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    problems TEXT NOT NULL,
    PRIMARY KEY (id)
);
INSERT INTO "kl_requirement" VALUES(1,'values/sum',1,'');
CREATE TABLE kl_result (
    run INTEGER NOT NULL,
    position INTEGER NOT NULL,
    requirement INTEGER NOT NULL,
    "column" INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    seconds TEXT NOT NULL,
    headroom TEXT,
    problems BIGINT NOT NULL,
    detail INTEGER,
    budget INTEGER,
    deviation INTEGER,
    witness INTEGER,
    spread INTEGER,
    PRIMARY KEY (run, position),
    FOREIGN KEY(run) REFERENCES kl_run (id),
    FOREIGN KEY(requirement) REFERENCES kl_requirement (id),
    FOREIGN KEY("column") REFERENCES kl_column (id)
) WITHOUT ROWID;
INSERT INTO "kl_result" VALUES(1,0,1,1,'FAIL','f64:0000000000000000','f64:7ff8000000000000',3,6,NULL,NULL,7,NULL);
CREATE TABLE kl_run (
    id INTEGER NOT NULL,
    record TEXT NOT NULL,
    path TEXT NOT NULL,
    started TEXT NOT NULL,
    finished TEXT,
    suite TEXT NOT NULL,
    profile TEXT NOT NULL,
    seed TEXT NOT NULL,
    format TEXT NOT NULL,
    planned INTEGER NOT NULL,
    cells INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    requirements INTEGER NOT NULL,
    implementations INTEGER NOT NULL,
    guide INTEGER NOT NULL,
    remarks INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (record)
);
INSERT INTO "kl_run" VALUES(1,'b46eb5fcf528232ad93924ee7e5db8e19bbc6e676854e7b21c09aa05892e4001','/runs/one.jsonl.gz','2026-01-02T03:04:05+00:00','2026-01-02T03:09:05+00:00','0.1.0','quick','7','kl-conformance-run/1',1,1,1,2,3,4,5);
CREATE TABLE kl_store (
    schema INTEGER NOT NULL,
    PRIMARY KEY (schema)
);
INSERT INTO "kl_store" VALUES(1);
CREATE TABLE kl_text (
    id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (digest)
);
INSERT INTO "kl_text" VALUES(1,X'08E9B2CC6E74B2133DDADE726E5838E0','{"torch":"2.12.0"}');
INSERT INTO "kl_text" VALUES(2,X'12B0A3255275F0677D080C20121C85BC','{"values/sum":{"level":"MUST","sentence":"It is a sum.","revision":1}}');
INSERT INTO "kl_text" VALUES(3,X'2E025A287BCA131423D8421AAC4AD6BF','{"torch.kl_div":{"framework":"torch","package":"torch"}}');
INSERT INTO "kl_text" VALUES(4,X'2AFB9B83F9314E5D029766197F539792','{}');
INSERT INTO "kl_text" VALUES(5,X'7EBB3C7C2A87B1A2F8A7ED729ECB040D','[]');
INSERT INTO "kl_text" VALUES(6,X'6B090BE4595E68E06A34264F720EB542','"gives NaN"');
INSERT INTO "kl_text" VALUES(7,X'0CFBD90A60D5329CD811AFFA7EF826FB','{"got":["f64:7ff8000000000000"]}');
CREATE INDEX kl_result_of_cell ON kl_result (requirement, "column");
COMMIT;
