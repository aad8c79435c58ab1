using System.Runtime.CompilerServices;
using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>An append in progress. Awaiting it, once, counts it and returns its result.</summary>
internal readonly struct CountedAppend
{
    private readonly ValueTask<ProduceResult> _append;
    private readonly TopicGrant? _grant;
    private readonly int _records;
    private readonly int _bytes;

    internal CountedAppend(in ValueTask<ProduceResult> append, TopicGrant? grant, int records, int bytes)
    {
        _append = append;
        _grant = grant;
        _records = records;
        _bytes = bytes;
    }

    private CountedAppend(in ProduceResult result) => _append = new ValueTask<ProduceResult>(result);

    /// <summary>The refusal of an append for which no partition was opened. It is not counted.</summary>
    public static CountedAppend Uncounted(in ProduceResult refusal) => new(refusal);

    /// <summary>Awaits the append, without the caller's context.</summary>
    public Awaiter GetAwaiter() => new(this, _append.ConfigureAwait(false).GetAwaiter());

    private void Count(in ProduceResult result) => _grant?.Counts.Count(result, _records, _bytes);

    /// <summary>Waits for an append, and counts it.</summary>
    public readonly struct Awaiter : ICriticalNotifyCompletion
    {
        private readonly CountedAppend _append;
        private readonly ConfiguredValueTaskAwaitable<ProduceResult>.ConfiguredValueTaskAwaiter _awaiter;

        internal Awaiter(in CountedAppend append, ConfiguredValueTaskAwaitable<ProduceResult>.ConfiguredValueTaskAwaiter awaiter)
        {
            _append = append;
            _awaiter = awaiter;
        }

        /// <summary>Whether the append is complete.</summary>
        public bool IsCompleted => _awaiter.IsCompleted;

        /// <summary>Counts the append and returns its result.</summary>
        public ProduceResult GetResult()
        {
            var result = _awaiter.GetResult();
            _append.Count(result);
            return result;
        }

        /// <inheritdoc/>
        public void OnCompleted(Action continuation) => _awaiter.OnCompleted(continuation);

        /// <inheritdoc/>
        public void UnsafeOnCompleted(Action continuation) => _awaiter.UnsafeOnCompleted(continuation);
    }
}
