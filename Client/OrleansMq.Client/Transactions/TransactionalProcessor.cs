using Microsoft.Extensions.Logging;

namespace OrleansMq.Client;

/// <summary>
/// The loop that reads records, handles each, and writes the results and the offsets in one transaction.
/// <para>State: the open transaction, and for each assignment the first offset in it and the next. A commit clears it. A failure aborts it
/// and returns each assignment that is still ours to its first offset. The loop and the rebalance listener take turns, so a partition is
/// revoked only when the transaction that has its records is committed or aborted.</para>
/// </summary>
internal sealed partial class TransactionalProcessor<TKey, TValue, TResultKey, TResultValue> : IRebalanceListener, IAsyncDisposable
{
    private readonly TransactionalProcessingOptions _options;
    private readonly Func<ConsumeResult<TKey, TValue>, CancellationToken, ValueTask<IEnumerable<ProducerRecord<TResultKey, TResultValue>>>>
        _handle;
    private readonly Consumer<TKey, TValue> _consumer;
    private readonly TransactionSequence _transactions;
    private readonly ISerializer<TResultKey> _keys;
    private readonly ISerializer<TResultValue> _values;
    private readonly IRebalanceListener? _listener;
    private readonly ReaderOptions _reader;
    private readonly ILogger _logger;
    private readonly SemaphoreSlim _turn = new(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly Dictionary<AssignedPartition, Progress> _progress = [];
    // Of the record that fails in each partition, until it is committed.
    private readonly Dictionary<TopicPartition, (long Offset, int Attempts)> _failing = [];
    private readonly Lock _handlingGate = new();
    // The record that the handler has, and what cancels it.
    private (AssignedPartition Claim, CancellationTokenSource Moved)? _handling;
    private TransactionRun? _open;
    private Producer<TResultKey, TResultValue>? _results;
    private long _begunAt;
    private int _count;
    private int _limit;
    private int _failures;

    /// <summary>Creates the loop, which does nothing before <see cref="RunAsync"/>.</summary>
    public TransactionalProcessor(Func<IRebalanceListener, Consumer<TKey, TValue>> consumer, ConsumerOptions consuming,
        TransactionSequence transactions, TransactionalProcessingOptions options,
        Func<ConsumeResult<TKey, TValue>, CancellationToken, ValueTask<IEnumerable<ProducerRecord<TResultKey, TResultValue>>>> handle,
        ISerializer<TResultKey> keys, ISerializer<TResultValue> values, ILogger logger)
    {
        (_options, _handle, _transactions, _keys, _values, _logger) = (options, handle, transactions, keys, values, logger);
        (_listener, _reader, _limit) = (consuming.RebalanceListener, consuming.Reader!, options.MaxRecords);
        _consumer = consumer(this);
    }

    /// <summary>Runs until it is cancelled: then it commits what it has handled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        // At once: a commit that waits for a broker at a rebalance would keep the loop from seeing it.
        using var stopping = cancellationToken.Register(_stop.Cancel);
        _consumer.Subscribe(_options.Topics);
        while (!cancellationToken.IsCancellationRequested)
        {
            ConsumeResult<TKey, TValue>? record;
            try
            {
                record = _open is null ? await _consumer.ReadAsync(cancellationToken).ConfigureAwait(false)
                    : await _consumer.ReadAsync(UntilCommit, cancellationToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                break;
            }
            if (await StepAsync(record, cancellationToken).ConfigureAwait(false) is { } pause)
                await Task.Delay(pause, _reader.TimeProvider, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        await EndOpenAsync([]).ConfigureAwait(false);
    }

    /// <summary>Leaves the group, and aborts what is open.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _consumer.DisposeAsync().ConfigureAwait(false);
        await _transactions.DisposeAsync().ConfigureAwait(false);
        _turn.Dispose();
        _stop.Dispose();
    }

    ValueTask IRebalanceListener.OnAssignedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions,
        CancellationToken cancellationToken) =>
        _listener?.OnAssignedAsync(consumer, partitions, cancellationToken) ?? default;

    async ValueTask IRebalanceListener.OnRevokedAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions,
        CancellationToken cancellationToken)
    {
        // The consumer has waited for it already, for as long as its options say.
        lock (_handlingGate)
        {
            if (_handling is var (claim, moved) && partitions.Contains(claim.Partition))
                _ = moved.CancelAsync();
        }
        await EndOpenAsync(partitions).ConfigureAwait(false);
        if (_listener is not null)
            await _listener.OnRevokedAsync(consumer, partitions, cancellationToken).ConfigureAwait(false);
    }

    async ValueTask IRebalanceListener.OnLostAsync(IConsumer consumer, IReadOnlyList<TopicPartition> partitions,
        CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_progress.Keys.Any(static claim => claim.IsGone))
                await AbortAsync(null).ConfigureAwait(false);
            Forget(partitions);
        }
        finally
        {
            _turn.Release();
        }
        if (_listener is not null)
            await _listener.OnLostAsync(consumer, partitions, cancellationToken).ConfigureAwait(false);
    }

    private TimeSpan UntilCommit
    {
        get
        {
            var left = _options.CommitInterval - _reader.TimeProvider.GetElapsedTime(_begunAt);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    /// <summary>Handles a record, if there is one, and commits when it is time.</summary>
    /// <returns>How long to wait after a failure; null: it has succeeded.</returns>
    private async Task<TimeSpan?> StepAsync(ConsumeResult<TKey, TValue>? record, CancellationToken cancellationToken)
    {
        var session = record is null ? null : _consumer.HandedOut;
        var claim = session?.Owner as AssignedPartition;
        var (isHandled, hasMoved) = (false, false);
        await _turn.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        try
        {
            // Meanwhile the partition may have gone, or returned to an earlier offset: then the record is read again, here or elsewhere.
            if (claim is null or { IsGone: true } || claim.Session != session)
                (record, claim) = (null, null);
            if (record is { } read && claim is not null)
            {
                using var moved = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, claim.Gone);
                try
                {
                    lock (_handlingGate)
                        _handling = (claim, moved);
                    await HandleAsync(read, claim, moved.Token, cancellationToken).ConfigureAwait(false);
                }
                catch (Exception) when (moved.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
                {
                    hasMoved = true;
                    throw;
                }
                finally
                {
                    lock (_handlingGate)
                        _handling = null;
                }
            }
            isHandled = true;
            if (_open is not null && (_count >= _limit || UntilCommit == TimeSpan.Zero))
                await CommitAsync(cancellationToken).ConfigureAwait(false);
            return null;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            await AbortAsync(Returned(record, claim)).ConfigureAwait(false);
            return TimeSpan.Zero;
        }
        catch (ProducerFencedException)
        {
            await AbortAsync(null).ConfigureAwait(false);
            throw;
        }
        catch (Exception e)
        {
            await AbortAsync(Returned(record, claim)).ConfigureAwait(false);
            var isTransient = hasMoved || e is CommitFencedException || e is OrleansMqException { Action: ErrorAction.Retry };
            var failures = isTransient ? 1 : Count(record, claim, isHandled);
            if (failures >= _options.MaxAttempts && !isTransient)
                throw;
            _limit = 1;
            var wait = _reader.BackoffAfter(failures);
            LogAborted(e, _transactions.TransactionalId, failures, _options.MaxAttempts, wait);
            return wait;
        }
        finally
        {
            _turn.Release();
        }
    }

    // A handler that ends after its partition was asked for has its results committed before it moves.
    private async Task HandleAsync(ConsumeResult<TKey, TValue> record, AssignedPartition claim, CancellationToken moved,
        CancellationToken cancellationToken)
    {
        if (_open is null)
        {
            _open = await _transactions.BeginAsync(moved).ConfigureAwait(false);
            _results = new Producer<TResultKey, TResultValue>(_open.Core, _keys, _values);
            _begunAt = _reader.TimeProvider.GetTimestamp();
        }
        foreach (var result in await _handle(record, moved).ConfigureAwait(false) ?? [])
            await _results!.EnqueueAsync(result, null, cancellationToken).ConfigureAwait(false);
        var first = _progress.TryGetValue(claim, out var before) ? before.First : record.Offset;
        _progress[claim] = new Progress(first, new TopicPartitionOffset(record.TopicPartition, record.Offset + 1, record.LeaderEpoch));
        _count++;
    }

    private async Task CommitAsync(CancellationToken cancellationToken)
    {
        TransactionOffset[] offsets = [.. _progress.Select(static item => new TransactionOffset(item.Value.Next, item.Key))];
        await _open!.SendOffsetsAsync(() => _consumer.GroupMetadata, () => offsets, cancellationToken).ConfigureAwait(false);
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                // Not cancelled: its outcome says where the partitions go on.
                await _open.CommitAsync(CancellationToken.None).ConfigureAwait(false);
                break;
            }
            catch (TransactionOutcomeUnknownException e) when (!_stop.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                var wait = _reader.BackoffAfter(attempt);
                LogUnknown(_transactions.TransactionalId, wait, e.Message);
                await Task.Delay(wait, _reader.TimeProvider, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        foreach (var (claim, progress) in _progress)
        {
            if (_failing.TryGetValue(claim.Partition, out var failed) && failed.Offset < progress.Next.Offset)
                _failing.Remove(claim.Partition);
        }
        Clear();
        _failures = 0;
        // One by one until the record that fails has passed: then those before it are committed, whatever becomes of it.
        _limit = _failing.Count > 0 ? 1 : Math.Min(_limit * 2, _options.MaxRecords);
    }

    /// <summary>Aborts the open transaction, and returns to where it began.</summary>
    /// <param name="failed">The record that is not in it, and is to be read again; null for none.</param>
    private async Task AbortAsync((AssignedPartition Claim, long Offset)? failed)
    {
        if (_open is not null)
            await _open.DisposeAsync().ConfigureAwait(false);
        // A commit whose answer was lost was stored after all: nothing of it is handled again.
        if (_open is { IsCommitted: true })
        {
            Clear();
            return;
        }
        foreach (var (claim, progress) in _progress)
            claim.Begin(ReadFrom.Offset(progress.First));
        if (failed is { } again && !_progress.ContainsKey(again.Claim))
            again.Claim.Begin(ReadFrom.Offset(again.Offset));
        Clear();
    }

    /// <summary>Counts a failure: of the record that is handled, or of the transaction as a whole.</summary>
    private int Count(ConsumeResult<TKey, TValue>? record, AssignedPartition? claim, bool isHandled)
    {
        if (record is not { } read || claim is null || isHandled)
            return ++_failures;
        var attempts = _failing.TryGetValue(claim.Partition, out var before) && before.Offset == read.Offset ? before.Attempts + 1 : 1;
        _failing[claim.Partition] = (read.Offset, attempts);
        return attempts;
    }

    private static (AssignedPartition, long)? Returned(ConsumeResult<TKey, TValue>? record, AssignedPartition? claim) =>
        record is { } read && claim is not null ? (claim, read.Offset) : null;

    private void Clear()
    {
        (_open, _results, _count) = (null, null, 0);
        _progress.Clear();
    }

    private void Forget(IEnumerable<TopicPartition> revoked)
    {
        foreach (var partition in revoked)
            _failing.Remove(partition);
    }

    /// <summary>Commits what is open, or aborts it.</summary>
    /// <param name="revoked">The partitions that are not handled any more.</param>
    private async Task EndOpenAsync(IReadOnlyList<TopicPartition> revoked)
    {
        await _turn.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        try
        {
            if (_open is not null)
                await CommitAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (OrleansMqException e)
        {
            LogNotEnded(_transactions.TransactionalId, e.Message);
            await AbortAsync(null).ConfigureAwait(false);
        }
        finally
        {
            Forget(revoked);
            _turn.Release();
        }
    }

    [LoggerMessage(61, LogLevel.Warning, "A transaction of '{TransactionalId}' was aborted (failure {Failures} of {MaxAttempts}); its "
        + "records are handled again in {Wait}.")]
    private partial void LogAborted(Exception exception, string transactionalId, int failures, int maxAttempts, TimeSpan wait);

    [LoggerMessage(62, LogLevel.Warning, "Whether a transaction of '{TransactionalId}' is committed is not known yet; committing "
        + "again in {Wait}. {Reason}")]
    private partial void LogUnknown(string transactionalId, TimeSpan wait, string reason);

    [LoggerMessage(63, LogLevel.Warning, "The last transaction of '{TransactionalId}' before a rebalance or the end was aborted; its "
        + "records are handled again. {Reason}")]
    private partial void LogNotEnded(string transactionalId, string reason);

    /// <summary>What the open transaction has of an assignment.</summary>
    private readonly record struct Progress(long First, TopicPartitionOffset Next);
}
