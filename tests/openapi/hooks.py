"""Leads random requests to what is there, and keeps them from what they may not do on the machine that they are tried on. `COFRE_KNOWN` has, as
JSON, values for a part of an address by the words around it; `COFRE_OWN` is the token that is tried with."""

import json
import os

import schemathesis

KNOWN = json.loads(os.environ["COFRE_KNOWN"])
OWN = os.environ["COFRE_OWN"]


@schemathesis.hook
def before_call(context, case, kwargs):
    path = case.operation.path
    if path.endswith("/restores") and isinstance(case.body, dict) and case.body.get("dry_run", False) is False:
        # Nothing is restored for real. What is no boolean stays, and has to be refused.
        case.body["dry_run"] = True
    if case.path_parameters and case.path_parameters.get("id") == OWN:
        case.path_parameters["id"] = "00000000"
    good = case.meta is None or case.meta.generation.mode.is_positive
    if good and str((case.path_parameters or {}).get("set")).startswith("backup_"):
        # A set of a run that was begun here may be half made, or cancelled.
        case.path_parameters["set"] = KNOWN["/sets/{set}"]["set"]
    for name, value in (KNOWN.get(path.removeprefix("/api/v1")) or {}).items():
        # Every other request goes to something that there is; by its own content, so that a run can be repeated.
        if good and case.path_parameters and len(repr(case.path_parameters.get(name))) % 2:
            case.path_parameters[name] = value
