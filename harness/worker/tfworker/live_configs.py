"""The configs of a loaded model's layers, for a report to put beside those of the source."""

import json
from typing import Any, Callable, Dict, List

from . import compat_training

#: characters of a config as JSON above which it is left out: it holds arrays or a whole graph
LIMIT = 4000


def configs(model: Any, records: List[Dict[str, Any]], here: Callable[[List[str]], List[str]]) -> Dict[str, Any]:
    """{path in the source, joined by slashes: config} of the layers of ``records``; ``here`` gives the path in this model."""
    found = {}
    for path in sorted({tuple(record["path"]) for record in records}):
        try:
            layer = model
            for name in here(list(path)):
                layer = layer.get_layer(name)
            text = json.dumps(compat_training.plain(layer.get_config()), default=str)
        except Exception:  # it is shown to people, and decides nothing
            continue
        if len(text) <= LIMIT:
            found["/".join(path)] = json.loads(text)
    return found
