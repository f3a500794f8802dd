"""The code of README.md and docs/ that no test runs: why, the day of its last run, and its first lines."""

NOT_RUN = {
    "minutes to hours of training; the last day is not known": (
        "make reproduce",
        "pairnet reproduce --draws 2 --epochs 2",
        "pairnet reproduce --minutes 15",
        "pairnet reproduce --measurements every",
        "pairnet reproduce --table all",
        "pairnet reproduce --table order",
        "pairnet reproduce --table 2-folds",
        "pairnet reproduce --table 1 --draws 3",
    ),
    "minutes to hours of training; run for results.md and performance.md, whose figures were committed by 2026-11-26": (
        "pairnet reproduce --minutes 3 --data mnist",
        "pairnet reproduce --data mnist --draws 1 --no-report",
        "pairnet reproduce --table all --runs study --measurements every",
        "pairnet reproduce --table 2-folds --runs study --measurements every",
        "pairnet reproduce --table 2-folds --runs study --measurements every",
        "pairnet reproduce --table order --runs study --measurements every",
        *(
            f"pairnet reproduce --table {name} --runs study"
            for name in ("1", "2", "3", "dropout", "2-folds", "order", "ablation")
        ),
        "pairnet study docs/learning-rates.toml --data mnist --runs rates",
        "pairnet study my.toml --runs mine",
    ),
    "hours of training; run 2026-11-29, for readings.md": (
        "for file in as-trained no-activation as-in-the-text batch-100 sigmoid fixed-pairs folds; do \\",
        "python -m bench.readings readings --document docs/readings.md",
        "pairnet runs merge docs/readings/records --runs readings",
    ),
    "needs the runs of these studies; run for results.md, whose figures were committed by 2026-11-26": (
        "pairnet report study",
        "pairnet report study --markdown docs/results.md",
        "pairnet report rates --markdown docs/results.md",
        "pairnet calibration final_model order_net --runs study --output docs/figures/calibration.svg",
    ),
    "two minutes of training on full MNIST; last run 2026-11-29": (
        "for seed in 0 1 2 3 4; do pairnet train mine --file my.toml --seed $seed --data mnist; done",
        "for seed in 0 1 2 3 4; do pairnet train order_net_fast --seed $seed --data mnist; done",
        "pairnet runs compare mine order_net_fast",
        "pairnet runs compare mine mine --epochs 50 --other-epochs 25",
        "pairnet runs compare mine mine --set learning_rate=0.001 --other-set learning_rate=0.003",
        "pairnet export --model mine --file my.toml --data mnist",
        "pairnet predict mine.onnx pictures/3-*.png pictures/7-*.png --csv",
    ),
    "a minute of training; last run 2026-11-29": (
        "pairnet reproduce --table order --draws 3 --epochs 3 --pairs 400 --data mnist5k --runs study-old --no-report",
        "pairnet reproduce --table order --draws 3 --epochs 3 --pairs 400 --data mnist5k --runs study-new --no-report",
        "ATEN_CPU_CAPABILITY=default pairnet reproduce --table order --draws 3 --epochs 3 --pairs 400 --data mnist5k "
        "--runs study-new --no-report",
        "pairnet report study-old study-same",
        "pairnet report study-old study-new",
        "pairnet verify study-old --sample 3 --seed 1",
        "ATEN_CPU_CAPABILITY=default pairnet verify study-old --sample 3 --seed 1",
    ),
    "five minutes of training on full MNIST; last run 2026-11-29": ("pairnet study my.toml --runs streams --markdown",),
    "twelve minutes of training on full MNIST; last run 2026-11-29": (
        "pairnet study sharing.toml --data mnist --runs sharing",
    ),
    "an hour of training on full MNIST; last run 2026-11-29": (
        "pairnet study equivalent.toml --data mnist --runs equivalent",
    ),
    "ten minutes of training on full MNIST; last run 2026-11-29": (
        "pairnet reproduce --table 1 --runs native --no-report",
        "ATEN_CPU_CAPABILITY=default pairnet reproduce --table 1 --runs portable --no-report",
        "pairnet report native portable",
    ),
    "its folder is an example, and export.md runs the same commands": (
        "pairnet export --run runs/final_model-0123abcd --force",
        "pairnet predict final_model.onnx --test",
    ),
    "half an hour of training; not run since it was written": ("pairnet export --all --output models",),
    "a server, and its clients; last run 2026-11-29": (
        "pairnet serve final_model.onnx",
        "pairnet serve --models repository/models --control",
        "mkdir repository/models/final_model/2",
        "cp better.onnx repository/models/final_model/2/model.onnx",
        "curl -X POST 127.0.0.1:8080/v2/repository/models/final_model/load",
        "rm -r repository/models/final_model/2",
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 OTEL_TRACES_SAMPLER=parentbased_traceidratio "
        "OTEL_TRACES_SAMPLER_ARG=0.01 \\",
        "pairnet export --model final_model --with-digits",
        "curl 127.0.0.1:8080/v2/models/final_model",
        "import tritonclient.http as client",
        "import grpc",
        "pairnet data pictures glyphs:100",
        "for n in 3 7; do curl -s --data-binary @$(ls pictures/$n-*) -H 'Content-Type: image/png' "
        "'127.0.0.1:8080/decode?model=final_model' > $n.json; done",
        'jq -c -s \'{inputs: [{name: "pair", datatype: "UINT8", shape: [1, 2, 28, 28], '
        "data: (.[0].input + .[1].input)}]}' 3.json 7.json > request.json",
        "curl -s 127.0.0.1:8080/v2/models/final_model/infer -H 'Content-Type: application/json' -d @request.json",
        'import { readFile } from "node:fs/promises";',
    ),
    "needs an exported file, which serving.md does not make here; README.md runs the same command": (
        "pairnet export-repository final_model.onnx --output repository",
    ),
    "builds an image in minutes, as root; last run 2026-11-29": (
        "debootstrap --variant=minbase --include=python3,python3-pip,ca-certificates bookworm base",
        "rm base/usr/lib/python3*/EXTERNALLY-MANAGED && ln -s python3 base/usr/bin/python",
        "printf '[global]\\nno-index = true\\nfind-links = /wheels-of-others\\n' > base/etc/pip.conf",
        "export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot",
        "buildah from --name base scratch && buildah add base base / && buildah commit base "
        "docker.io/library/python:3.11-slim",
        "pip wheel -c constraints.txt -w wheels '.[serve]'",
        "pairnet export-repository final_model.onnx --output repository --wheel wheels/pairnet-*.whl",
        "buildah build --format docker --pull-never --volume $PWD/wheels:/wheels-of-others:ro -t pairnet repository",
        "buildah from --pull-never --name served pairnet && buildah run served -- pairnet serve --host 0.0.0.0 "
        "/models/final_model.onnx",
    ),
    "a cluster and its registry, which no machine of the developers has; test_deploy.py runs the load": (
        "pip wheel --no-deps -w wheels .",
        "pairnet export-repository final_model.onnx --output repository --wheel wheels/pairnet-*.whl "
        "--constraints constraints.txt \\",
        "podman build --format docker -t registry.example.org/pairnet:1 repository",
        "podman run --rm --read-only -p 8080:8080 -p 8081:8081 registry.example.org/pairnet:1",
        "podman push registry.example.org/pairnet:1",
        "kubectl create namespace pairnet",
        "kubectl apply -n pairnet -f repository/kubernetes.yaml -f repository/networkpolicy.yaml",
        "kubectl rollout status -n pairnet deployment/pairnet",
        "kubectl port-forward -n pairnet service/pairnet 8080:8080",
        "curl -s 127.0.0.1:8080/v2/models/final_model",
        "kubectl apply -n pairnet -f repository/podmonitor.yaml -f repository/prometheusrule.yaml",
        "kubectl apply -n pairnet -f repository/kubernetes-volume.yaml",
        "kubectl wait -n pairnet --for=condition=Ready pod/pairnet-files",
        "kubectl cp -n pairnet repository/models pairnet-files:/volume",
        "kubectl apply -n pairnet -f repository/kubernetes-models.yaml -f repository/networkpolicy.yaml",
        "kubectl exec -n pairnet pairnet-files -- mkdir /volume/models/final_model/2",
        "kubectl cp -n pairnet better.onnx pairnet-files:/volume/models/final_model/2/model.onnx",
        "for pod in $(kubectl get pods -n pairnet -l app.kubernetes.io/name=pairnet -o name); do \\",
        "kubectl exec -n pairnet pairnet-files -- "
        "sh -c 'cd /volume/models/final_model && mkdir 3 && cp 1/model.onnx 3'",
    ),
    "the configuration of a proxy; its syntax was checked by nginx at revision 8429707": ("server {",),
    "installs packages or needs what CI has; the last day is not known": (
        "make gpu DEVICE=cpu",
        "python3 -m venv .venv",
        ".venv/bin/python -m pip install -c constraints.txt -e '.[all]'",
        ".venv/bin/pairnet reproduce",
        "python3 -m venv .venv && . .venv/bin/activate",
        "pip install -c constraints.txt '.[serve]'",
        *(f"make {target}" for target in ("demo", "test", "lint", "cpp-test", "attack")),
    ),
    "a second environment with other versions; not run since it was written": (
        "python3 -m venv old && old/bin/pip install -c constraints.txt '.[all]'",
        "grep -v '^torch==' constraints.txt > newer.txt",
        "python3 -m venv new && new/bin/pip install -c newer.txt '.[all]'",
        ". old/bin/activate",
        ". new/bin/activate",
    ),
    "needs the folder docs of the checkout, whose records tests/test_document_tables.py reads; last run 2026-11-29": (
        "pairnet study docs/diverging.toml --runs diverging",
        "pairnet report docs/records/diverging",
        "pairnet runs --runs docs/records/diverging",
        "pairnet verify docs/records/diverging",
        "pairnet runs merge docs/records/diverging --runs diverging",
    ),
    "needs the runs of Table III; tests/cli/test_runs.py compares others": ("pairnet runs compare w_net no_w_net",),
    "downloads MNIST; the last day is not known": ("pairnet data fetch mnist",),
    "ten minutes of benchmarks; the last day is not known": (
        "python3 -m venv asv && . asv/bin/activate && pip install asv virtualenv",
        "asv machine --yes",
        "asv run",
    ),
    "needs an NVIDIA GPU; last run 2026-11-26": (
        "pairnet reproduce --device cuda --data mnist --no-report",
        "make gpu",
        "python -m bench.on_gpu --out FOLDER --minutes 8",
    ),
    "needs an NVIDIA GPU; the last day is not known": ("pairnet study my.toml --device cuda",),
    "needs a study file of one's own; studies.md runs one": (
        "pairnet study my.toml",
        "pairnet study my.toml --jobs 64",
    ),
    "several machines; on one, run at revision 8429707": (
        "ray start --head --port 6379",
        "ray start --address FIRST-NODE:6379",
        "pairnet study my.toml --engine ray --address auto",
        "sbatch --array=1-8 --wrap 'pairnet study my.toml --shard $SLURM_ARRAY_TASK_ID/8 "
        "--runs part$SLURM_ARRAY_TASK_ID --no-report'",
        "pairnet runs merge part1 part2 part3 part4 part5 part6 part7 part8 --runs whole",
        "pairnet report whole",
    ),
}
