using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Producers;

namespace OrleansMq.Transactions;

/// <summary>
/// Looks after transactions that have been open for long in the partitions that are led here. It asks their coordinator, which wakes it
/// where no broker ran it any more, so that it ends what is late, and tells of what was decided. A transaction that no coordinator knows is
/// aborted: nothing else would end it, and committed readers would wait for ever.
/// </summary>
/// <remarks>
/// State: since when each open transaction was seen; in memory only, so that after a restart or a change of leader each gets the whole time
/// again. A coordinator completes a transaction when all of its partitions know its end. So one that is open here, while its coordinator
/// says of a later moment that none is, hangs: its document was lost, or restored to an earlier time.
/// </remarks>
internal sealed class TransactionWatch : IAsyncDisposable
{
    /// <summary>The pause between two looks.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    // Most transactions are shorter: their coordinators are not asked.
    private static readonly TimeSpan AskAfter = TimeSpan.FromSeconds(10);

    // Beyond the longest timeout, for a transactional id that is not known: its document may be on its way.
    private static readonly TimeSpan UnknownGrace = TimeSpan.FromMinutes(5);

    private readonly ILocalPartitions _partitions;
    private readonly Func<ITransactionCoordinator> _transactions;
    private readonly TransactionProducers _producers;
    private readonly TransactionOptions _options;
    private readonly TimeProvider _time;
    private readonly EngineLog _log;
    private readonly Dictionary<(Guid Topic, int Partition, OpenTransaction Transaction), long> _seen = [];
    private readonly CancellationTokenSource _closing = new();
    private readonly Task _running;

    /// <summary>Begins to look.</summary>
    /// <param name="partitions">The partitions of this process.</param>
    /// <param name="transactions">The coordinators.</param>
    /// <param name="producers">Finds the transactional id of a producer.</param>
    /// <param name="options">Limits.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">The log.</param>
    public TransactionWatch(ILocalPartitions partitions, Func<ITransactionCoordinator> transactions, TransactionProducers producers,
        TransactionOptions options, TimeProvider time, EngineLog log)
    {
        (_partitions, _transactions, _producers, _options, _time, _log) = (partitions, transactions, producers, options, time, log);
        _running = Task.Run(RunAsync);
    }

    /// <summary>Looks once at all partitions.</summary>
    internal async Task LookAsync(CancellationToken cancellationToken)
    {
        var now = _time.GetTimestamp();
        var open = new List<(Partition Partition, OpenTransaction Transaction)>();
        foreach (var partition in _partitions.Held)
        {
            if (partition.Replication.Leadership is null || partition.Log is not { } log)
                continue;
            foreach (var transaction in log.State.Transactions.Open())
                open.Add((partition, transaction));
        }
        var keys = open.Select(static one => KeyOf(one.Partition, one.Transaction)).ToHashSet();
        foreach (var gone in _seen.Keys.Where(key => !keys.Contains(key)).ToArray())
            _seen.Remove(gone);
        // A producer is asked for once in each look, after all were seen.
        var known = new Dictionary<long, Known>();
        foreach (var (partition, transaction) in open)
        {
            _seen.TryAdd(KeyOf(partition, transaction), now);
            var age = _time.GetElapsedTime(_seen[KeyOf(partition, transaction)], now);
            if (age < AskAfter)
                continue;
            if (!known.TryGetValue(transaction.ProducerId, out var answer))
                known[transaction.ProducerId] = answer = await AskAsync(transaction.ProducerId, cancellationToken).ConfigureAwait(false);
            if (FindWhyItHangs(answer, partition, transaction, age) is { } reason)
                await AbortAsync(partition, transaction, reason).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Ends the looks.</summary>
    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _closing.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                await Task.Delay(Interval, _time, _closing.Token).ConfigureAwait(false);
                try
                {
                    await LookAsync(_closing.Token).ConfigureAwait(false);
                }
                catch (Exception failure) when (!_closing.IsCancellationRequested) // Whatever it is: the next look may succeed.
                {
                    _log.Write(EngineLogLevel.Error, "A look after open transactions failed; the next one follows in "
                        + $"{Interval.TotalSeconds} s: {failure.Message}", failure);
                }
            }
        }
        catch (OperationCanceledException) when (_closing.IsCancellationRequested)
        {
            // The broker stops.
        }
    }

    /// <summary>Asks the coordinator of a producer's transactional id.</summary>
    private async Task<Known> AskAsync(long producerId, CancellationToken cancellationToken)
    {
        try
        {
            var id = await _producers.FindAsync(producerId, cancellationToken).ConfigureAwait(false);
            return id is null ? new Known("no transactional id is known of its producer")
                : new Known(await _transactions().SendAsync(new DescribeTransaction(id), cancellationToken).ConfigureAwait(false));
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.TransactionalIdNotFound)
        {
            return new Known("its transactional id is not known any more");
        }
        catch (Exception exception) when (exception is BrokerException or IOException or UnauthorizedAccessException)
        {
            _log.Write(EngineLogLevel.Debug, $"The coordinator of producer {producerId} did not answer; it is asked again.", exception);
            return default;
        }
    }

    /// <summary>Says why nothing will end a transaction; null: its coordinator will, or did not answer.</summary>
    private string? FindWhyItHangs(in Known known, Partition partition, OpenTransaction transaction, TimeSpan age)
    {
        if (known.Unknown is { } unknown)
            return age < _options.MaxTimeout + UnknownGrace ? null : unknown;
        return known.Description is not { } description || known.IsOf(new TransactionPartition(partition.TopicPartition.Topic,
            partition.TopicPartition.Partition, partition.TopicId), transaction.ProducerId) ? null
            : $"'{description.TransactionalId}' has no open transaction there ({description.LastEnd ?? "none was ended"})";
    }

    /// <summary>Whether a transaction that is open in a partition is the one that its coordinator describes, or an earlier one that it
    /// ends.</summary>
    /// <param name="known">The description, of a later moment than the one at which the transaction was seen open.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="producerId">The producer.</param>
    internal static bool IsOf(TransactionDescription known, TransactionPartition partition, long producerId) =>
        new Known(known).IsOf(partition, producerId);

    private async Task AbortAsync(Partition partition, OpenTransaction transaction, string reason)
    {
        var written = await partition.Appends.AbortHangingAsync(transaction).ConfigureAwait(false);
        if (written is { Error: ErrorCode.None, BaseOffset: >= 0 })
            _log.Write(EngineLogLevel.Error, string.Create(CultureInfo.InvariantCulture,
                $"Partition {partition.TopicPartition}: a hanging transaction of producer {transaction.ProducerId}, epoch "
                + $"{transaction.Epoch}, is aborted from offset {transaction.First} on: {reason}."));
    }

    private static (Guid, int, OpenTransaction) KeyOf(Partition partition, OpenTransaction transaction) =>
        (partition.TopicId, partition.TopicPartition.Partition, transaction);

    /// <summary>What was found of a producer: a description, or that nothing is known of it; neither where nobody answered.</summary>
    private readonly struct Known
    {
        private readonly HashSet<(string Topic, int Partition, Guid TopicId)>? _partitions;

        public Known(string unknown) => Unknown = unknown;

        public Known(TransactionDescription description)
        {
            Description = description;
            _partitions = [.. description.Partitions.Select(static one => (one.Topic, one.Partition, one.TopicId))];
        }

        public string? Unknown { get; }

        public TransactionDescription? Description { get; }

        public bool IsOf(TransactionPartition partition, long producerId) => Description is
        {
            Phase: TransactionPhase.Ongoing or TransactionPhase.PrepareCommit or TransactionPhase.PrepareAbort,
        } known
            && known.Producer.ProducerId == producerId
            && (_partitions!.Contains((partition.Topic, partition.Partition, partition.TopicId))
                || _partitions.Contains((partition.Topic, partition.Partition, default)));
    }
}
