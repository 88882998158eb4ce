#!/usr/bin/env python3
"""A result (stdin) as shuffled inputs must give it (stdout): without names and hashes of files, and with the streams of a timeline by
name, where the result has them, and the names of their spans, in the order of the trace."""
import json
import sys


def without_files(node):
    if isinstance(node, dict):
        return {key: without_files(value) for key, value in node.items() if key not in ("command", "file", "hash")}
    return [without_files(value) for value in node] if isinstance(node, list) else node


result = without_files(json.load(sys.stdin))
timeline = result.get("timeline")
if timeline:
    names, categories = timeline.pop("names"), timeline.pop("categories")
    for row in timeline["rows"]:
        row["streams"].sort(key=lambda stream: stream["name"])
        for stream in row["streams"]:
            stream["spans"] = [[start, length, names[name], categories[category], ops] for start, length, name, category, ops in stream["spans"]]
print(json.dumps(result, indent=1))
