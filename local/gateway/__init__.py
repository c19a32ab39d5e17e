"""An Amazon API Gateway HTTP API on this machine, driven by the translated template's OpenAPI body.

A request passes through these modules in turn::

    server      bytes to a request; what is malformed or too large ends here
    app         the order of the steps, and the access log's line
    routing     which route of the body is meant
    throttle    429 beyond the stage's limits
    authorizers IAM, Lambda or JWT: who may
    mapping     parameters written for the integration
    proxy       HTTP_PROXY through the VPC link, or
    functions   AWS_PROXY: the event, the invocation, the answer

What the body or the stage says is read once, at start, by ``definition`` and ``stage``. Anything that these
do not know stops the gateway there: it never guesses. Sources are named where a behaviour is implemented;
"developer guide" is the Amazon API Gateway Developer Guide, and its page's file name follows.
"""
