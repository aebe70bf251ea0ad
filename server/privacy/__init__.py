"""De-identification between a request and the engine, with pseudonyms that can be taken back.

`policy` is what the path of a request asks for, and what answers where that is switched off; `deidentifier`
is the facade of all else. `recognizers` find identifiers (one a file), `people` decides which names are one
person, `mentions` finds them again, `worker` and `pool` run all this outside the API process, `pseudonyms`
writes the text that the model sees, `restorer` takes the pseudonyms back, whole or as a stream.
"""
