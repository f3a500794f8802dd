"""The route /decode: a picture in a request -> the values that a model takes."""

import asyncio
from collections.abc import Coroutine
from typing import Any, get_args

from fastapi import FastAPI, Request

from pairnet.data.pairs import pool_and_normalise
from pairnet.errors import DataError, PictureCode, RequestError
from pairnet.serving.pictures import reading
from pairnet.serving.pictures.decoding import FORMATS
from pairnet.serving.pictures.raster import MAX_PIXELS
from pairnet.serving.server.connections import ENDED
from pairnet.serving.server.decoders import kind_of
from pairnet.serving.server.protocol import LARGEST_PICTURE
from pairnet.serving.server.rest import add_part, entry_of, next_part, whole
from pairnet.serving.server.served import find
from pairnet.serving.server.service import Service


def add_decode(app: FastAPI, service: Service) -> None:
    """Adds the route, and what its documentation says."""

    @app.post(
        "/decode",
        tags=["pictures"],
        summary="A picture as a model takes it",
        description=f"The body is a picture of one digit, of at most {LARGEST_PICTURE:,} bytes and {MAX_PIXELS:,} "
        f"pixels ({', '.join(FORMATS)}). It is cropped, scaled and centred as `pairnet predict` does it. `pixels`: "
        "28x28 grey levels; `pooled`: 14x14, what the network sees; `input`: the values for the input of the model. A "
        "refusal has a `code` for programs besides its `error`: " + ", ".join(get_args(PictureCode)) + ".",
        responses={
            400: {"description": "No usable picture"},
            413: {"description": "Too large"},
            503: {"description": "Too many pictures or large requests"},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def decode(request: Request, model: str) -> dict[str, Any]:
        chosen = find(service.models, model)
        parts: list[bytes | bytearray] = []
        more, held, entry = True, 0, entry_of(request.scope, service)
        try:
            while more:
                part, more = await next_part(request.receive)
                entry.check()
                add_part(parts, part)
                held += len(part)
                if held > LARGEST_PICTURE:
                    raise RequestError(
                        f"expected a picture of at most {LARGEST_PICTURE:,} bytes, got more", "large", "too-large"
                    )
            picture = await _unless_left(request, service.decoders.decode(memoryview(whole(parts))))
        except DataError as error:
            raise RequestError(str(error), kind_of(error), error.code) from None
        finally:
            entry.close()
        predictor = chosen.predictor
        picture = reading.suited(picture, predictor.metadata.polarity)
        pixels = picture.pixels[0]
        pooled = pixels.reshape(14, 2, 14, 2).mean((1, 3))
        given = pixels if predictor.input_kind == "images" else pool_and_normalise(pixels, predictor.metadata.moments)
        return {
            "pixels": pixels.ravel().tolist(),
            "pooled": pooled.ravel().tolist(),
            "input": given.ravel().tolist(),
            "notes": picture.notes,
        }


async def _unless_left(request: Request, decoding: Coroutine[Any, Any, reading.Picture]) -> reading.Picture:
    """What `decoding` returns.  Ends it, and raises RequestError, if the client leaves before."""
    task, leaving = asyncio.create_task(decoding), asyncio.create_task(_left(request))
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RequestError("expected a client that waits for its answer, the connection was closed", "gone")
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()
        await asyncio.wait((task, leaving))


async def _left(request: Request) -> None:
    """Returns once the client has closed its connection, or its side of it."""
    while not request.scope.get(ENDED) and (await request.receive())["type"] != "http.disconnect":
        pass
