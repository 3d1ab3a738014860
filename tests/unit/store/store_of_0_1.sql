BEGIN TRANSACTION;
CREATE TABLE activation (
        detector INTEGER NOT NULL REFERENCES detector(id), serial INTEGER NOT NULL, revision INTEGER NOT NULL,
        time TEXT NOT NULL, cause TEXT NOT NULL, author TEXT NOT NULL, checksum TEXT NOT NULL,
        UNIQUE (detector, serial));
INSERT INTO "activation" VALUES(1,1,1,'2026-11-29T09:40:46.460261Z','commit','alice@here','sha256:f2000a8ae8b7ae17a0124f24a6e2ff9625a363ddc3879b4a9c041d33401a167b');
INSERT INTO "activation" VALUES(1,2,2,'2026-11-29T09:40:46.471749Z','here','alice@here','sha256:b769240677c2436cf59ea8a9eeb9b0886507b150c9fd5ab817ea6136c82fdfe9');
INSERT INTO "activation" VALUES(1,3,3,'2026-11-29T09:40:46.483041Z','commit','alice@here','sha256:d70e4a45aec606076830563427961077dfd03c92154d03b4d87df0b829810708');
INSERT INTO "activation" VALUES(1,4,2,'2026-11-29T09:40:46.492468Z','activate','alice@here','sha256:b79617cb91c6825bcdb35add3618632905de57e54065171a10f23f163b594e58');
CREATE TABLE answer (
        detector INTEGER NOT NULL REFERENCES detector(id), request TEXT NOT NULL, digest TEXT NOT NULL,
        op TEXT NOT NULL, revision INTEGER NOT NULL, serial INTEGER NOT NULL, time TEXT NOT NULL,
        checksum TEXT NOT NULL, UNIQUE (detector, request));
CREATE TABLE detector (id INTEGER PRIMARY KEY, prefix TEXT NOT NULL UNIQUE);
INSERT INTO "detector" VALUES(1,'P:');
CREATE TABLE judgement (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, kind TEXT NOT NULL,
        revision INTEGER NOT NULL, by INTEGER, since TEXT, until TEXT, reason TEXT NOT NULL, time TEXT NOT NULL,
        author TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (detector, number));
INSERT INTO "judgement" VALUES(1,1,'supersede',3,2,NULL,NULL,'typo','2026-11-29T09:40:46.500293Z','alice@here','sha256:14ecde633f8f74cf08d12e376f39de650129d770e5a2ecf0bf2e3ac4d6018e40');
CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), written INTEGER NOT NULL);
INSERT INTO "probe" VALUES(1,0);
CREATE TABLE revision (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, uid TEXT NOT NULL,
        created TEXT NOT NULL, label TEXT, geometry TEXT NOT NULL, position TEXT NOT NULL,
        provenance TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (detector, number));
INSERT INTO "revision" VALUES(1,1,'25c597fa-aea9-4d66-bf89-b0561b90e84f','2026-11-29T09:40:46.460261Z','near','{"detector":"Perkin","detector_config":{},"dist":0.2345,"pixel1":0.0002,"pixel2":0.0002,"poni1":0.1,"poni2":0.1,"rot1":0.0,"rot2":0.0,"rot3":0.0,"wavelength":1.66e-11}','null','{"author":"alice@here"}','sha256:1ae18eae632016fa372f0356074750442525e691c9a892265ea31863c46d7ddc');
INSERT INTO "revision" VALUES(1,2,'44838ad1-039d-4777-9c60-adb12d4e27e9','2026-11-29T09:40:46.471749Z','near','{"detector":"Perkin","detector_config":{},"dist":0.2345,"pixel1":0.0002,"pixel2":0.0002,"poni1":0.1,"poni2":0.1,"rot1":0.0,"rot2":0.0,"rot3":0.0,"wavelength":1.66e-11}','{"z":{"units":"mm","value":100.0}}','{"author":"alice@here","derived_from":1}','sha256:649f23816f1c7e2fe9a455d50727d1fae693d33d1af6955b9720075b5777a09e');
INSERT INTO "revision" VALUES(1,3,'d7dfec0f-fe0d-4df0-8b1f-c67c937b22a8','2026-11-29T09:40:46.483041Z','far','{"detector":"Perkin","detector_config":{},"dist":0.3,"pixel1":0.0002,"pixel2":0.0002,"poni1":0.1,"poni2":0.1,"rot1":0.0,"rot2":0.0,"rot3":0.0,"wavelength":1.66e-11}','{"z":{"units":"mm","value":100.0}}','{"author":"alice@here"}','sha256:7471d30b3c125a5356a5c149611b415773a5781376d63fab45335c699090f8de');
CREATE TABLE standing (
        detector INTEGER NOT NULL REFERENCES detector(id), follow INTEGER NOT NULL, rested TEXT NOT NULL,
        time TEXT NOT NULL, author TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (detector));
INSERT INTO "standing" VALUES(1,0,'{"z":{"units":"mm","value":100.0}}','2026-11-29T09:40:46.508852Z','alice@here','sha256:6fef5a776dc95437e99c71505242c2b25127d631051c8e800a9c7d6a5000a0c9');
CREATE INDEX revision_label ON revision (detector, label, number);
COMMIT;