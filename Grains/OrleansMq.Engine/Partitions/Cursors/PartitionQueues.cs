using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Queues;
using OrleansMq.Topics;

namespace OrleansMq.Partitions.Cursors;

/// <summary>
/// The queues of a partition where it is led: the broker API's requests as commands of cursors, and the consumers that attached, by id.
/// A consumer has no connection here. It is alive as long as its calls come within its session timeout. Thread safe.
/// </summary>
internal sealed class PartitionQueues(PartitionCursors cursors)
{
    // As long as an append may wait for its replicas.
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(30);

    // The cursors of a new partition serve as soon as its replicas are in sync, which takes some milliseconds.
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(5);

    // How long the end of a consumer waits until others can receive what it held.
    private static readonly TimeSpan ReturnTimeout = TimeSpan.FromSeconds(5);

    // A call is one turn of the partition's cursors.
    private const int MostSettlements = 1_000;

    // One look at what is not settled, which may be control batches of other queues for the most part.
    private const int OffsetsPerPeek = 1_000;

    // Each is a MiB of the log: one description's part of the search.
    private const int MostCountSteps = 64;

    private static readonly TimeSpan LongestDecision = TimeSpan.FromSeconds(1);

    // Within the time limit of a client's peek. One that has found few records by then returns them.
    private static readonly TimeSpan LongestPeek = TimeSpan.FromSeconds(2);

    // An answer fits a message between brokers.
    private const int MostPeekBytes = 16 << 20;

    // The answer to a settlement that is refused by itself; the others of its request are carried out.
    private static readonly Task<Answer> Refused = Task.FromResult(new Answer(CursorRequest.NoAnswer, CursorOutcome.Unknown));

    // A caller that is gone without a word is not waited for any longer.
    private static readonly TimeSpan MaxWait = TimeSpan.FromMinutes(5);

    private readonly ConcurrentDictionary<Guid, QueueSession> _sessions = new();
    private readonly QueueFigures _figures = new(cursors);

    /// <summary>What describes them.</summary>
    public QueueFigures Figures => _figures;

    /// <inheritdoc cref="IQueues.CreateAsync"/>
    public async Task<QueueDescription> CreateAsync(NewQueue queue, CancellationToken cancellationToken)
    {
        // Checked before the topics are looked at.
        _ = QueueConfigurations.ToConfiguration(queue, target: null);
        if (await FindAsync(queue.Name, cancellationToken).ConfigureAwait(false) is { } existing)
            return existing;
        var configuration = QueueConfigurations.ToConfiguration(queue, await TargetAsync(queue.Options, existing: null,
            cancellationToken).ConfigureAwait(false));
        DemandLogTime(configuration);
        var most = cursors.Partition.Ports.MaxQueuesPerPartition;
        if (await AskAsync(term => term.Cursors.Count(QueueConfigurations.IsBounded), cancellationToken).ConfigureAwait(false) >= most)
            throw new BrokerException(ErrorCode.PolicyViolation, $"{cursors.Partition.TopicPartition} has {most} queues and share groups, "
                + "as many as its broker allows. Delete one, or raise maxQueuesPerPartition.");
        var begun = await AnswerAsync(() => cursors.BeginAsync(Guid.NewGuid(), configuration, FloorOf(queue.Start)),
            cancellationToken).ConfigureAwait(false);
        // Another caller may have created it meanwhile.
        if (begun.Outcome != CursorOutcome.NoCursor)
            Demand(begun.Outcome, queue.Name);
        return await DescribeAsync(queue.Name, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc cref="IQueues.DeleteAsync"/>
    public async Task DeleteAsync(string name, Guid? id, CancellationToken cancellationToken)
    {
        var queue = await DescribeAsync(name, cancellationToken).ConfigureAwait(false);
        DemandId(name, queue.Id, id);
        var removed = await AnswerAsync(() => cursors.RemoveAsync(QueueConfigurations.CursorOf(name), queue.Id), cancellationToken)
            .ConfigureAwait(false);
        if (removed.Outcome == CursorOutcome.NotReady
            && await AskAsync(term => LettersOf(term, name), cancellationToken).ConfigureAwait(false) is { } letters)
            throw new BrokerException(QueueConfigurations.ErrorOf(removed.Outcome), $"Queue '{name}' of "
                + $"{cursors.Partition.TopicPartition} was not deleted: {letters}. The broker's log says why. Retry when they "
                + "are there.");
        Demand(removed.Outcome, name);
    }

    /// <inheritdoc cref="IQueues.DescribeAsync"/>
    public async Task<QueueDescription> DescribeAsync(string name, CancellationToken cancellationToken) =>
        await FindAsync(name, cancellationToken).ConfigureAwait(false) ?? throw NoQueue(name);

    /// <inheritdoc cref="IQueues.ListAsync"/>
    public async Task<IReadOnlyList<QueueDescription>> ListAsync(CancellationToken cancellationToken)
    {
        await _figures.ContinueAsync(cancellationToken).ConfigureAwait(false);
        var queues = await AskAsync(term => term.Cursors.Where(QueueConfigurations.IsQueue).Select(_figures.Describe).ToList(),
            cancellationToken).ConfigureAwait(false);
        return [.. queues.OrderBy(queue => queue.Description.Name, StringComparer.Ordinal).Select(_figures.WithOldest)];
    }

    /// <inheritdoc cref="IQueues.ListHandlersAsync"/>
    public async Task<IReadOnlyList<QueueHandler>> ListHandlersAsync(string name, int maxRecords, CancellationToken cancellationToken)
    {
        QueueConfigurations.Check(maxRecords is >= 1 and <= 1_000, $"A call lists 1 to 1,000 held records, not {maxRecords}.");
        var (held, now) = await AskAsync(term => (FindIn(term, name)?.Cursor is { State: not null } cursor
            ? cursor.HeldLongest(maxRecords) : null, term.Now), cancellationToken).ConfigureAwait(false);
        if (held is null)
            throw NoQueue(name);
        var consumers = new Dictionary<long, Guid>();
        // An attachment of an earlier leadership may have the same number until its session ends.
        foreach (var (id, session) in _sessions.Where(static session => session.Value.HoldsLease))
            consumers[session.Number] = id;
        return [.. held.Select(one => new QueueHandler(consumers.GetValueOrDefault(one.Attachment), one.Offset,
            TimeSpan.FromMilliseconds(Math.Max(0, now - one.Since)))
        {
            LockLeft = one.LockLeftMs is { } left ? TimeSpan.FromMilliseconds(left) : null,
            Deliveries = one.Counts.Deliveries,
            Failures = one.Counts.Failures,
            IsWaiting = one.IsWaiting,
        })];
    }

    /// <inheritdoc cref="IQueues.DescribeShareAsync"/>
    public Task<QueueDescription?> DescribeShareAsync(string groupId, CancellationToken cancellationToken) => AskAsync(
        term => term.Find(QueueConfigurations.CursorOfShare(groupId)) is { Cursor.State: not null } cursor
            ? QueueConfigurations.DescribeShare(cursor, groupId) : null, cancellationToken);

    /// <inheritdoc cref="IQueues.ResetAsync"/>
    public async Task<QueueDescription> ResetAsync(string name, OffsetSpec start, Guid? id, CancellationToken cancellationToken)
    {
        var replaced = await AskAsync(term => FindIn(term, name)?.Cursor.State?.Incarnation, cancellationToken).ConfigureAwait(false)
            ?? throw NoQueue(name);
        DemandId(name, replaced, id);
        var begun = await AnswerAsync(() => cursors.ResetAsync(QueueConfigurations.CursorOf(name), Guid.NewGuid(), FloorOf(start),
            replaced), cancellationToken).ConfigureAwait(false);
        Demand(begun.Outcome, name);
        try
        {
            return await DescribeAsync(name, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException moved) when (moved.Code is ErrorCode.NotLeaderOrFollower or ErrorCode.LeaderNotAvailable)
        {
            // Repeated, it would find the id that it has given.
            throw new BrokerException(ErrorCode.RequestTimedOut, $"Queue '{name}' of {cursors.Partition.TopicPartition} was reset, and its "
                + "leader has changed before it was described: describe it.", moved);
        }
    }

    /// <inheritdoc cref="IQueues.AlterAsync"/>
    public async Task<QueueDescription> AlterAsync(string name, QueueOptions options, Guid? id, CancellationToken cancellationToken)
    {
        var (configuration, current) = await AskAsync<(CursorConfiguration? Configuration, Guid Id)>(
            term => FindIn(term, name)?.Cursor.State is { } state ? (state.Configuration, state.Incarnation) : default,
            cancellationToken).ConfigureAwait(false);
        if (configuration is null)
            throw NoQueue(name);
        DemandId(name, current, id);
        var target = await TargetAsync(options, configuration, cancellationToken).ConfigureAwait(false);
        configuration = QueueConfigurations.Alter(configuration, options, target);
        DemandLogTime(configuration);
        var altered = await AnswerAsync(() => cursors.ConfigureAsync(configuration, id), cancellationToken).ConfigureAwait(false);
        Demand(altered.Outcome, name);
        return await DescribeAsync(name, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc cref="IQueues.PurgeAsync"/>
    public async Task PurgeAsync(string name, long? below, CancellationToken cancellationToken)
    {
        QueueConfigurations.Check(below is null or >= 0,
            $"A purge below offset {below} is not possible: below must be an offset from 0, or be left out for the partition's end.");
        var end = below ?? cursors.Partition.HighWatermark;
        var purged = await AnswerAsync(() => cursors.PurgeAsync(QueueConfigurations.CursorOf(name), end), cancellationToken)
            .ConfigureAwait(false);
        Demand(purged.Outcome, name);
    }

    /// <inheritdoc cref="IQueues.PeekAsync"/>
    public async Task<IReadOnlyList<QueueRecord>> PeekAsync(string name, int maxRecords, CancellationToken cancellationToken)
    {
        QueueConfigurations.Check(maxRecords is >= 1 and <= 1_000, $"A peek returns 1 to 1,000 records, not {maxRecords}.");
        var (records, bytes) = (new List<QueueRecord>(), 0L);
        var started = cursors.Time.GetTimestamp();
        for (var from = 0L; ;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var (end, cursor, text, unsettled) = await AskAsync(term => UnsettledIn(term, name, from), cancellationToken)
                .ConfigureAwait(false);
            if (end.Error != ErrorCode.None)
                throw new BrokerException(end.Error, end.Message ?? $"The end of {cursors.Partition.TopicPartition} is not known now.");
            if (cursor is null)
                throw NoQueue(name);
            if (unsettled.Count == 0)
                return records;
            from = unsettled[^1].Offset + 1;
            using var read = CursorAttachment.ReadSome(cursors.Partition, new Deliver(0, default, unsettled), [],
                new ReadBounds(MostPeekBytes - bytes, text is null ? maxRecords - records.Count : OffsetsPerPeek,
                HasRecords: records.Count > 0));
            var (filter, before) = (cursor.FilterOf(text), records.Count);
            records.AddRange(read.Records.Where(received => filter is null || filter.Matches(received.Record))
                .Take(maxRecords - records.Count).Select(QueueConfigurations.Copy));
            bytes += records.Count > before ? read.RecordBytes : 0;
            if (read.Fault is { } fault && records.Count == 0)
                throw CursorAttachment.Unreadable(fault);
            if (records.Count > 0 && (read.Fault is not null || read.Rest is not null || records.Count == maxRecords))
                return records;
            from = Math.Max(read.Rest?.Records[0].Offset ?? from, (read.PassedOver?.Last ?? -1) + 1);
            if ((read.Rest is not null || read.PassedOver is not null || filter is not null)
                && cursors.Time.GetElapsedTime(started) >= LongestPeek)
                return records.Count > 0 ? records : throw new BrokerException(ErrorCode.RequestTimedOut, read.PassedOver is not null
                    ? $"Many records below offset {from} cannot be read. Consumers pass over them for good."
                    : filter is null ? "Other reads decompress large batches, one at a time. Retry."
                    : $"Within {LongestPeek.TotalSeconds} seconds, the time limit of a peek, the filter of queue '{name}' matched none of "
                    + $"its records below offset {from}. Consumers pass over them for good.");
            if (read.Rest is null || read.Records.Count > 0 || read.PassedOver is not null)
                continue;
            // Another batch is decompressed at the moment.
            await Task.Delay(PartitionCursors.RetryInterval, cursors.Time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc cref="IQueues.AttachAsync"/>
    public async Task<Guid> AttachAsync(string name, QueueAttachOptions options, CancellationToken cancellationToken)
    {
        var attached = cursors.AttachAsync(QueueConfigurations.CursorOf(name), QueueConfigurations.ToAttach(options));
        var id = Guid.NewGuid();
        CursorAttachment attachment;
        try
        {
            attachment = await WaitAsync(attached, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException missing) when (missing.Code == ErrorCode.GroupIdNotFound)
        {
            throw NoQueue(name);
        }
        catch (Exception over) when (over is OperationCanceledException or BrokerException { Code: ErrorCode.RequestTimedOut })
        {
            _ = attached.ContinueWith(static late => late.Result.Detach(isFailure: false), CancellationToken.None,
                TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
            throw;
        }
        var session = new QueueSession(attachment, options.SessionTimeout, cursors.Time, () => _sessions.TryRemove(id, out _));
        _sessions[id] = session;
        session.Begin();
        return id;
    }

    /// <inheritdoc cref="IQueues.ReceiveAsync"/>
    /// <remarks>An earlier receive of the same consumer ends: its caller has given it up.</remarks>
    public async Task<QueueDelivery?> ReceiveAsync(Guid consumer, int maxRecords, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        QueueConfigurations.Check(maxRecords is >= 0 and <= 10_000, $"A consumer receives 1 to 10,000 records at once, not {maxRecords}. "
            + "With 0 it receives nothing more.");
        using var call = Enter(consumer);
        if (maxRecords == 0)
        {
            await WaitAsync(call.Session.YieldAsync(), cancellationToken).ConfigureAwait(false);
            return null;
        }
        using var received = await call.Session.ReceiveAsync(maxRecords, maxWait < MaxWait ? maxWait : MaxWait, cancellationToken)
            .ConfigureAwait(false);
        return received is null ? null : new QueueDelivery(
            new QueueLock(received.Lock.Incarnation, received.Lock.LeaderEpoch, received.Lock.Number),
            [.. received.Records.Select(QueueConfigurations.Copy)]);
    }

    /// <inheritdoc cref="IQueues.SettleAsync"/>
    public async Task<IReadOnlyList<ErrorCode>> SettleAsync(Guid consumer, IReadOnlyList<QueueSettlement> settlements,
        CancellationToken cancellationToken)
    {
        QueueConfigurations.Check(settlements.Count <= MostSettlements,
            $"A call settles at most {MostSettlements} times, not {settlements.Count}.");
        foreach (var settlement in settlements)
        {
            QueueConfigurations.Check(settlement.Action is >= QueueAction.Accept and <= QueueAction.Renew,
                $"{settlement.Action} is no action of a queue's consumer.");
            QueueConfigurations.Check(!settlement.IsUncounted || settlement.Action == QueueAction.Release,
                $"{nameof(QueueSettlement.IsUncounted)} is for {QueueAction.Release}, not for {settlement.Action}. Leave it out.");
        }
        using var call = Enter(consumer);
        // All are in the cursor's inbox before the first answer, so they share a control batch.
        var answers = new Task<Answer>[settlements.Count];
        for (var i = 0; i < answers.Length; i++)
            answers[i] = QueueConfigurations.IsDelay(settlements[i].Delay) ? call.Session.SettleAsync(settlements[i]) : Refused;
        var all = await WaitAsync(Task.WhenAll(answers), cancellationToken).ConfigureAwait(false);
        return [.. all.Select((answer, i) => answers[i] == Refused ? ErrorCode.InvalidRequest
            : QueueConfigurations.ErrorOf(answer.Outcome))];
    }

    /// <inheritdoc cref="IQueues.DetachAsync"/>
    public async Task DetachAsync(Guid consumer, CancellationToken cancellationToken)
    {
        if (!_sessions.TryGetValue(consumer, out var session))
            return;
        try
        {
            await session.EndAsync(isFailure: false).WaitAsync(ReturnTimeout, cursors.Time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // It is detached. What it held comes back when enough replicas are in sync.
        }
    }

    private QueueSession.Call Enter(Guid consumer) => _sessions.TryGetValue(consumer, out var session) && session.TryEnter(out var call)
        ? call
        : throw new BrokerException(ErrorCode.UnknownMemberId, $"No consumer {consumer} is attached to {cursors.Partition.TopicPartition}: "
            + "it was silent for its session timeout, or the partition's leader changed. Attach again.");

    // Also where the topic's name stays: it may have been deleted, or be another topic by now.
    private async Task<DeadLetterTarget?> TargetAsync(QueueOptions options, CursorConfiguration? existing,
        CancellationToken cancellationToken)
    {
        if (options.DeadLetterTopic is not { } topic)
            return null;
        var current = existing?.DeadLetterTopic == topic ? existing.DeadLetterTarget : null;
        return await cursors.DeadLetters.FindTargetAsync(cursors.Partition.TopicPartition, topic, current, cancellationToken)
            .ConfigureAwait(false);
    }

    // By a producer's clock records would expire too early.
    private void DemandLogTime(CursorConfiguration configuration)
    {
        if (configuration.TimeToLiveMs > 0 && cursors.Partition.Config.TimestampType != TimestampType.LogAppendTime)
            throw new BrokerException(ErrorCode.InvalidConfig, $"A time to live needs the broker's times: topic "
                + $"'{cursors.Partition.TopicPartition.Topic}' has message.timestamp.type=CreateTime. Set LogAppendTime; records that "
                + "are there already live for ever.");
    }

    private long FloorOf(OffsetSpec start)
    {
        start = start with { Isolation = IsolationLevel.ReadUncommitted };
        if (start == OffsetSpec.Latest)
            return CursorState.Latest;
        if (start.Offset is { } named)
        {
            var (first, end) = (Find(OffsetSpec.Earliest).Offset, Find(OffsetSpec.Latest).Offset);
            return named >= first && named <= end ? named : throw new BrokerException(ErrorCode.OffsetOutOfRange,
                $"{cursors.Partition.TopicPartition} has the offsets {first} to {end}, and a queue cannot start at {named}. Name one of "
                + "them, or earliest or latest.");
        }
        var found = Find(start);
        return found.Offset < 0 ? CursorState.Latest : found.Offset;
    }

    private OffsetResult Find(OffsetSpec spec)
    {
        var found = cursors.Partition.FindOffset(spec);
        return found.Error == ErrorCode.None ? found
            : throw new BrokerException(found.Error, found.Message ?? $"The start {spec.Value} could not be found.");
    }

    private async Task<QueueDescription?> FindAsync(string name, CancellationToken cancellationToken)
    {
        await _figures.ContinueAsync(cancellationToken).ConfigureAwait(false);
        await CountAsync(name, cancellationToken).ConfigureAwait(false);
        var queue = await AskAsync(term => FindIn(term, name) is { Cursor.State: not null } cursor ? _figures.Describe(cursor) : null,
            cancellationToken).ConfigureAwait(false);
        return queue is null ? null : _figures.WithOldest(queue);
    }

    // A limit counts, and drops what is too much, before a queue is described: as far as some steps of its search go. Not for long: a
    // leader may get no answer of its replicas, or read nothing.
    private async Task CountAsync(string name, CancellationToken cancellationToken)
    {
        for (var left = MostCountSteps; left > 0; left--)
        {
            var counting = await AskAsync(term => FindIn(term, name) is { Cursor.IsDeciding: true } cursor ? cursor.CountAsync() : null,
                cancellationToken).ConfigureAwait(false);
            if (counting is null)
                return;
            try
            {
                await counting.WaitAsync(LongestDecision, cursors.Time, cancellationToken).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                return;
            }
        }
    }

    // Up to the end that the leader answers at that moment, which the term may not have followed yet. A leader that does not know the end,
    // or has no lease, would show a queue without records that others have seen.
    private (OffsetResult End, HostedCursor? Cursor, string? Filter, List<DeliveredRecord> Unsettled) UnsettledIn(CursorTerm term,
        string name, long from)
    {
        var end = cursors.Partition.FindOffset(OffsetSpec.Latest);
        return end.Error == ErrorCode.None && FindIn(term, name) is { Cursor.State: { } state } found
            ? (end, found, state.Configuration.Filter, QueueConfigurations.UnsettledFrom(state,
                Math.Max(from, cursors.Partition.LogStartOffset), Math.Min(cursors.Partition.LastStableOffset, end.Offset),
                OffsetsPerPeek))
            : (end, null, null, []);
    }

    private static HostedCursor? FindIn(CursorTerm term, string name) => term.Find(QueueConfigurations.CursorOf(name));

    private Task<T> AskAsync<T>(Func<CursorTerm, T> ask, CancellationToken cancellationToken) =>
        WaitAsync(cursors.AskAsync(ask), cancellationToken);

    // A cursor that does not serve yet refuses: its leader waits for the lease of the one before.
    private async Task<Answer> AnswerAsync(Func<Task<Answer>> send, CancellationToken cancellationToken)
    {
        var started = cursors.Time.GetTimestamp();
        for (var pause = FirstPause; ; pause = pause * 2 < PartitionCursors.RetryInterval ? pause * 2 : PartitionCursors.RetryInterval)
        {
            var answer = await WaitAsync(send(), cancellationToken).ConfigureAwait(false);
            if (answer.Outcome != CursorOutcome.NotReady || cursors.Time.GetElapsedTime(started) >= AnswerTimeout)
                return answer;
            await Task.Delay(pause, cursors.Time, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task<T> WaitAsync<T>(Task<T> task, CancellationToken cancellationToken)
    {
        try
        {
            return await task.WaitAsync(AnswerTimeout, cursors.Time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new BrokerException(ErrorCode.RequestTimedOut,
                $"A queue of {cursors.Partition.TopicPartition} did not answer within {AnswerTimeout.TotalSeconds} seconds: the outcome is "
                + "unknown. Check that enough replicas are in sync.");
        }
    }

    private void Demand(CursorOutcome outcome, string name)
    {
        if (outcome == CursorOutcome.NoCursor)
            throw NoQueue(name);
        if (QueueConfigurations.ErrorOf(outcome) is not ErrorCode.None and var error)
            throw new BrokerException(error,
                $"Queue '{name}' of {cursors.Partition.TopicPartition} did not carry the request out: {error}. Retry.");
    }

    // The dead letters that a queue waits for; null: none.
    private static string? LettersOf(CursorTerm term, string name)
    {
        if (FindIn(term, name)?.Cursor.State is not { Intents.Count: > 0 and var count } state)
            return null;
        var target = state.Intents.Values.First().Target;
        var topic = state.Configuration.DeadLetterTarget?.TopicId == target.TopicId ? state.Configuration.DeadLetterTopic : null;
        return $"{count} dead letters wait for partition {target.Partition} of topic '{topic ?? target.TopicId.ToString()}'";
    }

    private void DemandId(string name, Guid current, Guid? demanded)
    {
        if (demanded is { } id && id != current)
            throw new BrokerException(ErrorCode.GroupIdNotFound, $"Queue '{name}' of {cursors.Partition.TopicPartition} does not have the "
                + $"id {id}: it was deleted and created again, or reset. Describe it again.");
    }

    private BrokerException NoQueue(string name) => new(ErrorCode.GroupIdNotFound,
        $"{cursors.Partition.TopicPartition} has no queue '{name}'. Create it first.");
}
