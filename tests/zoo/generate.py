"""Write the zoo of one environment: python tests/zoo/generate.py --out DIR [--only GLOB] [--missing] [--configs FILE] [--list]

Runs inside the old environment. The parent never imports TensorFlow: it starts a worker on the list of
cases, and when the worker dies in one of them (a crash of the C++ runtime, a hang), records that case and
starts another worker on the rest.
"""

import argparse
import fnmatch
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# The package is imported as `zoo`; its own folder on the path would shadow other modules.
sys.path[:] = [os.path.dirname(HERE)] + [item for item in sys.path if os.path.abspath(item or ".") != HERE]

from zoo import configs, flavours, registry, writer  # noqa: E402

CASE_TIMEOUT_S = 180
JOURNAL = "journal.jsonl"


def _append(path, record):
    with open(path, "a") as file:
        file.write(json.dumps(record) + "\n")


def work(folder, flavour_name, ids):
    """Worker: write the cases one by one, journalling each before and after."""
    journal = os.path.join(folder, JOURNAL)
    flavour = flavours.Flavour(flavour_name)
    _append(journal, {"versions": flavour.versions()})
    cases = registry.load_all()
    for case_id in ids:
        _append(journal, {"start": case_id})
        if hasattr(signal, "alarm"):
            signal.alarm(CASE_TIMEOUT_S)
        try:
            entry = writer.write(flavour, cases[case_id], folder)
        except Exception as error:
            entry = dict(cases[case_id].blank_entry(), reason="failed: " + writer.reason_of(error))
        _append(journal, {"done": entry})
    if hasattr(signal, "alarm"):
        signal.alarm(0)


def _read_journal(path):
    started, entries, versions = None, {}, {}
    if os.path.exists(path):
        with open(path) as file:
            for record in map(json.loads, file):
                started = record.get("start", started)
                versions = record.get("versions", versions)
                if "done" in record:
                    entries[record["done"]["id"]] = record["done"]
    return started, entries, versions


def supervise(folder, flavour_name, ids):
    """Entries of all the cases and the versions, however often the worker had to be started."""
    journal = os.path.join(folder, JOURNAL)
    if os.path.exists(journal):
        os.remove(journal)
    cases, entries, versions = registry.load_all(), {}, {}
    while True:
        left = [case_id for case_id in ids if case_id not in entries]
        if not left:
            break
        command = [
            sys.executable,
            "-W",
            "ignore",
            os.path.abspath(__file__),
            "--out",
            folder,
            "--flavour",
            flavour_name,
            "--worker",
        ]
        with open(os.path.join(folder, "worker.log"), "a") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
            process.communicate("\n".join(left).encode("utf-8"))
        started, done, versions = _read_journal(journal)
        entries.update(done)
        if process.returncode:
            if started is None or started in entries:
                raise SystemExit(
                    "the worker ended with {} outside any case; see {}/worker.log".format(process.returncode, folder)
                )
            entries[started] = dict(
                cases[started].blank_entry(), reason="crashed: exit status {}".format(process.returncode)
            )
    os.remove(journal)
    return entries, versions


def read_index(folder):
    """The index of the folder; one without cases where there is none yet."""
    path = os.path.join(folder, "index.json")
    if not os.path.exists(path):
        return {"cases": []}
    with open(path) as file:
        return json.load(file)


def merge_index(folder, versions, entries):
    """The index with the new entries in place, in the order of the table.

    Cases that are gone are left out, and the files that the index before it listed for them are deleted.
    """
    index = read_index(folder)
    before = index["cases"]
    entries = dict({entry["id"]: entry for entry in before}, **entries)
    order = registry.load_all()
    index.update(versions, schema=registry.INDEX_SCHEMA)
    index["cases"] = [entries[case_id] for case_id in order if case_id in entries]
    path = os.path.join(folder, "index.json")
    with open(path + ".tmp", "w") as file:
        json.dump(index, file, indent=1, sort_keys=True)
    os.replace(path + ".tmp", path)
    for name in _files(before) - _files(index["cases"]):
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    return index


def _files(entries):
    return {entry[key] for entry in entries for key in ("file", "golden") if entry[key]}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", metavar="DIR")
    parser.add_argument("--only", metavar="GLOB", action="append", help="case ids, e.g. 'recurrent/*'; repeatable")
    parser.add_argument("--missing", action="store_true", help="only cases that the index in DIR does not have yet")
    parser.add_argument("--list", action="store_true", help="print ids and tags, write nothing")
    parser.add_argument("--configs", metavar="FILE", help="also write the snapshot of configs (.json or .json.gz)")
    parser.add_argument("--flavour", choices=("tf.keras", "keras", "keras3"), help="default: by what is installed")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        return work(options.out, options.flavour, sys.stdin.read().split())
    globs = options.only or ["*"]
    ids = [case_id for case_id in registry.load_all() if any(fnmatch.fnmatch(case_id, glob) for glob in globs)]
    if options.list:
        for case_id in ids:
            print(case_id, ",".join(registry.CASES[case_id].tags))
        return None
    if not options.out:
        parser.error("--out is needed")
    os.makedirs(options.out, exist_ok=True)
    if options.missing:
        known = {entry["id"] for entry in read_index(options.out)["cases"]}
        ids = [case_id for case_id in ids if case_id not in known]
    began = time.time()
    entries, versions = supervise(options.out, options.flavour or flavours.default_name(), ids)
    index = merge_index(options.out, versions, entries)
    if options.configs:
        configs.save(configs.snapshot(options.out, index), options.configs)
    built = [entry for entry in entries.values() if entry["applicable"]]
    print(
        "{} cases: {} built, {} with golden, {} reload failed, {:.0f} s".format(
            len(entries),
            len(built),
            sum(bool(entry["golden"]) for entry in built),
            sum(entry["reload_failed"] for entry in built),
            time.time() - began,
        )
    )
    return None


if __name__ == "__main__":
    main()
