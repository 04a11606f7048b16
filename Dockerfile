# docker build -t coala .
# docker run --rm -it -v "$PWD:/data" coala chat --model model.gguf
#
# The first stage is also the recipe of the release archives: the same source and the same image give the same bytes.
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make
COPY . /coala
WORKDIR /coala
ARG SOURCE_DATE_EPOCH=0
RUN make package && mkdir /opt/coala && tar -xzf out/coala-*.tar.gz -C /opt/coala --strip-components=1

FROM debian:12-slim
COPY --from=build /opt/coala /opt/coala
RUN ln -s /opt/coala/bin/coala /usr/local/bin/coala && useradd --create-home --uid 1000 coala
USER coala
WORKDIR /data
ENTRYPOINT ["coala"]
