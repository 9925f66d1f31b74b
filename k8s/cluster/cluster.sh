#!/usr/bin/env bash
# What `make cluster`, `make load`, `make deploy`, `make undeploy` and `make cluster-down` do. Each may be repeated.
set -euo pipefail
cd "$(dirname "$0")/../.."

cluster=${CLUSTER:-kubernetes-101}
registry=${REGISTRY:+${REGISTRY%/}/}
part_of=app.kubernetes.io/part-of=kubernetes-101
ca=k8s/cluster/ca.crt # git ignores it
# What the manifests run, besides the project's own images.
base_images=(nginxinc/nginx-unprivileged:1.30 curlimages/curl:8.17.0 busybox:1.37)

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

needs() { # needs COMMAND WHERE-TO-GET-IT
  command -v "$1" >/dev/null || fail "$1 is missing: install it ($2), then type the same again"
}
needs_kind() { needs kind kind.sigs.k8s.io/docs/user/quick-start; needs_kubectl; }
needs_kubectl() { needs kubectl kubernetes.io/docs/tasks/tools; }
exists() { kind get clusters 2>/dev/null | grep -qxF -- "$cluster"; }
on_kind() { kubectl --context "kind-$cluster" --request-timeout=10s "$@"; }

# Whether the API server of the current context answers.
needs_cluster() {
  needs_kubectl
  local why
  why=$(kubectl get --raw /readyz --request-timeout=10s 2>&1 >/dev/null) ||
    fail "No cluster answers: 'make cluster' makes one, 'kubectl config use-context' chooses another ($(tail -n 1 <<<"$why"))"
}

make_cluster() {
  needs_kind
  if exists; then
    kind export kubeconfig --name "$cluster" >/dev/null 2>&1 || true
    local made running joined
    made=$(docker ps --all --quiet --filter "label=io.x-k8s.kind.cluster=$cluster" | wc -l)
    running=$(docker ps --quiet --filter "label=io.x-k8s.kind.cluster=$cluster" | wc -l)
    joined=$(on_kind get nodes --output=name 2>/dev/null | wc -l)
    [ "$made" = "$running" ] && [ "$made" = "$joined" ] &&
      on_kind wait --for=condition=Ready nodes --all --timeout=60s >/dev/null 2>&1 ||
      fail "Cluster $cluster is there, but not whole ($made nodes made, $running running, $joined joined): type 'make cluster-down', then 'make cluster'"
    say "Cluster $cluster is there already, and Ready"
    return
  fi
  local variable port config output
  for variable in FRONTEND_PORT MONOLITH_PORT; do
    port=${!variable}
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null ||
      fail "Port $port is taken: end what listens there, or name another port with $variable=$((port + 1000))"
  done
  say "Making cluster $cluster: three nodes (the first time takes a while)"
  config=$(sed "s/hostPort: 8443/hostPort: $FRONTEND_PORT/; s/hostPort: 31000/hostPort: $MONOLITH_PORT/" k8s/cluster/kind.yaml)
  output=$(kind create cluster --name "$cluster" --config - <<<"$config" 2>&1) || {
    printf '%s\n' "$output" >&2
    fail "Cluster $cluster was not made: kind says why, above"
  }
  on_kind wait --for=condition=Ready nodes --all --timeout=120s --request-timeout=0 >/dev/null
  say "Cluster $cluster is Ready, and kubectl's current context. Next: make load"
}

load() { # load IMAGE...
  local others="into minikube: 'minikube image load $*'; into k3d: 'k3d image import $*'"
  needs_kind
  exists || fail "There is no kind cluster $cluster: type 'make cluster'. Or, $others"
  local image output
  for image in "$@"; do
    docker image inspect "$image" >/dev/null 2>&1 || fail "Image $image is not there: type 'make images'"
  done
  output=$(kind load docker-image --name "$cluster" "$@" 2>&1) || {
    printf '%s\n' "$output" >&2
    fail "The images were not loaded into $cluster: kind says why, above"
  }
  say "Loaded into cluster $cluster: $*"
  # Some of them kind cannot load, where Docker keeps only one platform of several.
  for image in "${base_images[@]}"; do
    docker image inspect "$image" >/dev/null 2>&1 || continue
    if kind load docker-image --name "$cluster" "$image" >/dev/null 2>&1; then say "Loaded too: $image"
    else say "Not loaded: $image. The nodes fetch it themselves"; fi
  done
  say "Next: make deploy, or kubectl apply -f k8s/" "(or, $others)"
}

deploy() {
  needs_cluster
  # A Job cannot be changed, only replaced; and it finds out by itself that there is nothing left to do.
  kubectl delete job certgen --ignore-not-found >/dev/null
  local file
  for file in k8s/*.yaml; do cat "$file"; echo ---; done |
    sed -E "s/1\.0\.0/${VERSION:-1.0.0}/; s#image: (monolith|hello|auth|certgen):#image: $registry\1:#" | kubectl apply -f -
  say 'Waiting until all is Ready'
  wait_until_ready
  kubectl get secret tls-certs --output=jsonpath='{.data.ca\.crt}' | base64 --decode >"$ca"
  local frontend monolith
  frontend=$(mapped_port 31443) monolith=$(mapped_port 31000)
  if [ -n "$frontend" ] && [ -n "$monolith" ]; then
    say 'Ready. To paste:'
  else
    frontend=8443 monolith=31000
    say 'Ready. To paste, the first two into terminals of their own:' '' \
      "kubectl port-forward service/frontend $frontend:443" "kubectl port-forward service/monolith $monolith:443"
  fi
  cat <<EOF

curl --cacert $ca https://localhost:$frontend/
curl --cacert $ca https://localhost:$frontend/version
curl --cacert $ca -u user:password https://localhost:$frontend/login
TOKEN=\$(curl -s --cacert $ca -u user:password https://localhost:$frontend/login | sed 's/.*"token":"//; s/".*//')
curl --cacert $ca -H "Authorization: Bearer \$TOKEN" https://localhost:$frontend/secure
curl --cacert $ca https://localhost:$monolith/
curl --cacert $ca https://localhost:$monolith/version
EOF
}

# The port of this machine that leads to a node port, when the current context is a kind cluster.
mapped_port() {
  local context
  context=$(kubectl config current-context 2>/dev/null) || return 0
  docker port "${context#kind-}-control-plane" "$1/tcp" 2>/dev/null | sed -n '1s/.*://p' || true
}

# The image that the monolith runs. Told to take another one, it is Ready until it begins to end, and again after that.
monolith_image() {
  kubectl get pod monolith --output=jsonpath='{.status.containerStatuses[?(@.state.running)].image}' 2>/dev/null || true
}

wait_until_ready() {
  local end=$((SECONDS + 300)) images bring="make load', which brings 1.0.0 and 2.0.0"
  [ -z "$registry" ] || bring="make push REGISTRY=$REGISTRY'"
  until kubectl rollout status deployment --selector="$part_of" --timeout=3s >/dev/null 2>&1 &&
    [[ $(monolith_image) == *"${registry}monolith:${VERSION:-1.0.0}" ]] &&
    kubectl wait --for=condition=Ready pod/monolith --timeout=3s >/dev/null 2>&1; do
    images=$(kubectl get pods --selector="$part_of" \
      --output=jsonpath='{range .items[*].status.containerStatuses[?(@.state.waiting.reason=="ImagePullBackOff")]}{.image}{"\n"}{end}')
    [ -z "$images" ] || fail "No node has, nor can fetch, $(sort -u <<<"$images" | xargs): type '$bring, then this again"
    [ $SECONDS -lt $end ] || { kubectl get pods --selector="$part_of" >&2; fail "Not Ready after 5 minutes: 'kubectl describe pods' and 'kubectl events' say why"; }
  done
}

undeploy() {
  needs_cluster
  # Foreground: the pods of a Deployment and of a Job go before it.
  kubectl delete -f k8s/ --ignore-not-found --cascade=foreground
  rm -f "$ca"
  say 'Nothing of k8s/*.yaml is left'
}

cluster_down() {
  needs_kind
  exists || { say "There is no cluster $cluster"; return; }
  kind delete cluster --name "$cluster" >/dev/null 2>&1 || fail "Cluster $cluster could not be deleted: 'kind delete cluster --name $cluster' says why"
  say "Cluster $cluster is gone"
}

command=${1//-/_}
shift
case $command in
  cluster) make_cluster ;;
  answers) needs_cluster && say "Testing on $(kubectl config current-context)" ;;
  load | deploy | undeploy | cluster_down) "$command" "$@" ;;
  *) fail "cluster.sh knows no '$command'" ;;
esac
