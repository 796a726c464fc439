"""The peer with a framework, as its documentation reads a body as it is."""

import fastapi

app = fastapi.FastAPI()


@app.post("/api/predict/bench")
async def echo(request: fastapi.Request):
    return fastapi.Response(await request.body(), media_type="text/html")
