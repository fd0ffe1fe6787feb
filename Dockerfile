# The image of all programs: operator, agent and kubectl plugin. Where its two bases cannot be had, any Debian of the same
# release takes their place; the first needs Node 18 or newer with npm.
ARG NODE_BASE=node:24-bookworm-slim
ARG DEBIAN_BASE=debian:bookworm-slim

FROM ${NODE_BASE} AS program
# What the pinned Node, which comes with the packages, is linked with.
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends libatomic1 libstdc++6
WORKDIR /source
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN bin/node bin/bundle.ts /program \
  && cp LICENSE /program/ \
  && node=$(bin/node --print process.execPath) \
  && mkdir /node && cp "$node" "$(dirname "$node")/../LICENSE" /node/

FROM ${DEBIAN_BASE} AS root
# binutils: Node comes with the names of its functions, a fifth of it.
RUN apt-get update -qq \
  && apt-get install -qq -y --no-install-recommends nftables ca-certificates libstdc++6 libatomic1 binutils
COPY --from=program /program /usr/lib/localdns
COPY --from=program /node/node /usr/bin/node
COPY --from=program /node/LICENSE /usr/share/doc/node/LICENSE
COPY bin/image-root.ts bin/compile-cache.ts bin/software-list.ts /source/bin/
RUN strip --strip-all /usr/bin/node && node /source/bin/image-root.ts /usr/lib/localdns /image

FROM scratch
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="LocalDNS" \
  org.opencontainers.image.description="Node-local DNS for any Kubernetes cluster" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}"
COPY --from=root /image /
# The second one: what the agent would have to compile at each start. It is root's; for another user there is none.
ENV PATH=/usr/sbin:/usr/bin NODE_COMPILE_CACHE=/usr/lib/localdns/compile-cache
# The agent's pod says otherwise: packet rules are root's.
USER 65532:65532
ENTRYPOINT ["localdns"]
