# bash completion for fabsim
_fabsim()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=run options
    case ${COMP_WORDS[1]:-} in coll | kernel | topo | import | pareto | factory | sweep | compare | report) command=${COMP_WORDS[1]} ;; esac
    case $previous in
    --dtype) COMPREPLY=($(compgen -W "fp64 fp32 tf32 fp16 bf16 fp8 fp4 int8" -- "$current")); return ;;
    --cost) COMPREPLY=($(compgen -W "nccl ideal" -- "$current")); return ;;
    --scaling) COMPREPLY=($(compgen -W "weak strong" -- "$current")); return ;;
    --by) COMPREPLY=($(compgen -W "gpu mw" -- "$current")); return ;;
    --fold) COMPREPLY=($(compgen -W "auto off" -- "$current")); return ;;
    --lowering) COMPREPLY=($(compgen -W "coupled flows messages" -- "$current")); return ;;
    --network) COMPREPLY=($(compgen -W "fabric cm02 ns3" -- "$current")); return ;;
    --algo) COMPREPLY=($(compgen -W "auto ring tree nvls direct chain nvlstree sharp pat hierarchical oneshot twoshot forwarded lowlatency" -- "$current")); return ;;
    --proto) COMPREPLY=($(compgen -W "auto LL LL128 Simple" -- "$current")); return ;;
    --op) COMPREPLY=($(compgen -W "all_reduce all_gather reduce_scatter all_to_all broadcast reduce sendrecv" -- "$current")); return ;;
    --nccl-version) COMPREPLY=($(compgen -W "2.25 2.30" -- "$current")); return ;;
    --timeline-format) COMPREPLY=($(compgen -W "auto chrome perfetto kineto" -- "$current")); return ;;
    --csv) COMPREPLY=($(compgen -d -- "$current")); return ;;
    esac
    case $command in
    run) options="--json --csv --timeline --timeline-format --timeline-ranks --timeline-window --quiet --set --fault --scale --scaling --cost --nccl --nccl-version --registered --sharp --lowering --fold --network --pue --seed --top --stable --max-events --dump-ops --help --version" ;;
    coll) options="--op --gpus --on --min --max --factor --sizes --algo --proto --root --top-k --top-domains --cost --nccl --nccl-version --registered --sharp --lowering --network --set --fault --json --csv --help" ;;
    kernel) options="--dtype --file --part --cost --set --json --csv --help" ;;
    topo) options="--json --expand --dot --set --help" ;;
    sweep) options="--output --jobs --time-limit --memory-limit --retry --dry-run --check --quiet --shard --merge --slurm --tasks --resubmit --sbatch --show --where --best --group-by --columns --sweep --top --csv --jsonl --help" ;;
    pareto) options="--by --ttft --tpot --points --gpus --concurrency --workers --pue --seed --set --json --csv --quiet --help" ;;
    factory) options="--power --pue --tiers --print-tiers --ttft --points --gpus --concurrency --workers --seed --json --quiet --help" ;;
    import) options="--output --gpu-part --nic-part --this-machine --help" ;;
    compare) options="--help" ;;
    report) options="--output --help" ;;
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "coll kernel topo import pareto factory sweep compare report" -- "$current") $(compgen -f -X '!*.xml' -- "$current"))
    elif [[ $command == kernel && $COMP_CWORD -eq 3 ]]; then
        COMPREPLY=($(compgen -W "gemm grouped attention attention_grad append quantise plain" -- "$current"))
    elif [[ $command == import && $COMP_CWORD -eq 2 ]]; then
        COMPREPLY=($(compgen -W "hwloc" -- "$current"))
    else
        COMPREPLY=($(compgen -f -X '!*.@(xml|json|gz|db)' -- "$current"))
    fi
}
complete -o filenames -F _fabsim fabsim
