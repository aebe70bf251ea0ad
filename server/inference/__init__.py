"""The one path from a request to tokens and back.

admit > route > de-identify > render > constrain > generate > restore > audit
"""
