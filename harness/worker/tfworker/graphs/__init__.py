"""TensorFlow graphs as data: written in the source environment, run in the target's.

A neutral graph is JSON; its large tensors are arrays of the bundle::

    graph    = {"format": 1, "producer": {"tensorflow": "1.15.5", "graph_def_version": 134},
                "nodes": [node ...], "library": [function ...]}
    node     = {"name", "op", "inputs": ["x", "y:1", "^after_this"], "attrs": {name: value}}
    function = {"signature": OpDef, "nodes": [node ...], "ret": {name: tensor}, "control_ret": {name: node},
                "attrs": {name: value}}, and "gradient" (name of a function) where one is registered
    value    = AttrValue in protobuf's JSON, except for tensors, which are
               {"tensor": {"dtype": "DT_FLOAT", "shape": [2, 3], "values": [...]}} or
               {"tensor": {"dtype": "DT_FLOAT", "shape": [2, 3], "array": name in the bundle}}

``values`` that are fewer than the shape asks for end in copies of the last one, as in a TensorProto; floats that JSON
cannot hold are "nan", "inf" and "-inf". Inputs have the syntax of GraphDef, in functions that of FunctionDef.

Left out: devices, colocation (``_class``) and shapes inferred by the producer (``_output_shapes``).
"""
