using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>A consumer apart from the types of its records: its assignment, its positions and its commits.</summary>
internal sealed partial class ConsumerCore : IConsumer, IConsumedPositions, IAssignmentTarget
{
    private readonly IBroker _broker;
    private readonly ConsumerOptions _options;
    private readonly ReaderOptions _reader;
    private readonly ILogger _logger;
    private readonly OffsetCommitter _committer;
    private readonly SessionLease _lease;
    private readonly Lock _gate = new();
    private readonly Dictionary<TopicPartition, AssignedPartition> _assigned = [];
    // Partitions whose assignment has ended with records handed out that were in no commit. A transaction may have what was made of them.
    private readonly HashSet<TopicPartition> _goneUncommitted = [];
    private readonly CancellationTokenSource _stop = new();
    private IMembership? _membership;
    private ConsumerGroupException? _failure;
    private Task? _autoCommit;
    private Task? _closing;
    private volatile bool _isClosing;

    public ConsumerCore(IBroker broker, ConsumerOptions options, ReaderOptions reader, ILogger logger)
    {
        ArgumentNullException.ThrowIfNull(broker);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        reader.Validate();
        _broker = broker;
        _options = options;
        _reader = reader;
        _logger = logger;
        Buffer = new FetchBuffer(broker, reader, logger);
        _lease = new SessionLease(reader.TimeProvider, options.SessionTimeoutOrDefault);
        _committer = new OffsetCommitter(broker.Groups, options, reader, () => GroupMetadata, logger);
        Facade = this;
    }

    /// <summary>The consumer that listeners receive.</summary>
    public IConsumer Facade { get; init; }

    /// <summary>Called when the consumer closes, before partitions are drained: returns the record that the application holds and will not
    /// finish.</summary>
    public Action BeforeDrain { get; init; } = static () => { };

    /// <summary>The buffer of fetched records.</summary>
    public FetchBuffer Buffer { get; }

    public ConsumerOptions Options => _options;

    public TimeProvider Time => _reader.TimeProvider;

    /// <summary>Whether it is closed or closing.</summary>
    public bool IsClosing => _isClosing;

    /// <summary>The group in log lines.</summary>
    private string Group => _options.GroupId ?? "(none)";

    public ConsumerGroupMetadata GroupMetadata =>
        Membership?.Metadata ?? new ConsumerGroupMetadata(_options.GroupId, "", -1, _options.GroupInstanceId);

    public IReadOnlyCollection<TopicPartition> Assignment
    {
        get
        {
            lock (_gate)
                return [.. _assigned.Keys];
        }
    }

    public IReadOnlyCollection<TopicPartition> Paused
    {
        get
        {
            lock (_gate)
                return [.. _assigned.Values.Where(static claim => claim.IsPaused).Select(static claim => claim.Partition)];
        }
    }

    private IMembership? Membership
    {
        get
        {
            lock (_gate)
                return _membership;
        }
    }

    public void Subscribe(params IReadOnlyList<string> topics)
    {
        ArgumentNullException.ThrowIfNull(topics);
        if (topics.Count == 0)
            throw new ArgumentException("Name at least one topic; UnsubscribeAsync ends a subscription.", nameof(topics));
        Subscribe(new Subscription([.. topics.Distinct(StringComparer.Ordinal)], null));
    }

    public void SubscribePattern(string regex)
    {
        ArgumentException.ThrowIfNullOrEmpty(regex);
        Subscribe(new Subscription([], regex));
    }

    public void Seek(TopicPartition partition, ReadFrom position)
    {
        if (!Claim(partition).Begin(position.Chosen))
            throw NotMine(partition);
    }

    public void Pause(params IEnumerable<TopicPartition> partitions) => Hold(partitions, true);

    public void Resume(params IEnumerable<TopicPartition> partitions)
    {
        Hold(partitions, false);
        Buffer.Wake();
    }

    public async ValueTask<long> GetPositionAsync(TopicPartition partition, CancellationToken cancellationToken = default)
    {
        var claim = Claim(partition);
        var session = claim.Session ?? await claim.Begun.WaitAsync(cancellationToken).ConfigureAwait(false);
        await session.Started.WaitAsync(cancellationToken).ConfigureAwait(false);
        return session.Position;
    }

    public long GetHighWatermark(TopicPartition partition) => Claim(partition).Session?.HighWatermark ?? -1;

    public Guid GetTopicId(TopicPartition partition) => Claim(partition).TopicId;

    /// <summary>Moves to the next record that may be handed out. Returns false if none has arrived yet.</summary>
    /// <exception cref="ConsumerGroupException">The consumer cannot be a member.</exception>
    /// <exception cref="ConsumeException">A partition cannot be read any further.</exception>
    /// <exception cref="InvalidOperationException">The consumer was never told what to read.</exception>
    public bool TryMoveNext([NotNullWhen(true)] out ChunkReader? chunk)
    {
        if (!_wasToldWhatToRead)
            throw new InvalidOperationException("The consumer has no topics to read. Call Subscribe, SubscribePattern or Assign first.");
        if (Volatile.Read(ref _failure) is { } failure)
            throw failure;
        if (_lease.IsOver)
            Membership?.SessionIsOver();
        while (true)
        {
            try
            {
                return Buffer.TryMoveNext(out chunk);
            }
            catch (ConsumeException e) when (TryGoOn(e))
            {
            }
        }
    }

    /// <summary>Hands out the current record of a chunk, if the partition still allows it.</summary>
    public bool TryHandOut(ChunkReader chunk)
    {
        if (_lease.IsOver)
            Membership?.SessionIsOver();
        var isMine = ((AssignedPartition)chunk.Session.Owner!).TryHandOut(chunk.Session, chunk.Record.Offset + 1, chunk.LeaderEpoch);
        if (isMine && OrleansMqDiagnostics.Consumed.Enabled)
            CountHandedOut(chunk.Session.Partition);
        return isMine;
    }

    // The position has moved: without its record the application would never see that one.
    private void CountHandedOut(TopicPartition partition)
    {
        try
        {
            OrleansMqDiagnostics.Consumed.Add(1, OrleansMqDiagnostics.TagsOf(partition, "receive", _options.GroupId));
        }
        catch (Exception e)
        {
            OrleansMqDiagnostics.LogListenerFailed(_logger, e, partition);
        }
    }

    /// <summary>Stops handing out records of a partition until it is restarted. Returns its assignment; null if it has ended.</summary>
    public AssignedPartition? Stop(TopicPartition partition)
    {
        var claim = Find(partition);
        claim?.Stop();
        return claim;
    }

    /// <summary>Hands out records again, from the offset up to which all are done.</summary>
    public void Restart(TopicPartition partition) => Claim(partition).Restart();

    private void Hold(IEnumerable<TopicPartition> partitions, bool isPaused)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        foreach (var claim in partitions.Select(Claim).ToArray())
            claim.Pause(isPaused);
    }

    /// <summary>Handles a failure as the options specify, if they do.</summary>
    private bool TryGoOn(ConsumeException failure)
    {
        if (Find(failure.Partition) is not { } claim)
            return false;
        if (failure is OffsetOutOfRangeException gone && _options.OutOfRange is { } choose)
        {
            // Records that were fetched before are handled first. The new position must not pass them.
            if (claim.HoldUntilIdle())
                return true;
            if (Choose(choose, gone) is not { } position)
                return false;
            LogOutOfRange(gone.Partition, gone.Offset, gone.LogStartOffset, gone.HighWatermark, position.ToString());
            claim.Begin(position);
            return true;
        }
        // An assignment may name partitions before all brokers know them, and for a while after they were deleted.
        if (failure.Code != ErrorCode.UnknownTopicOrPartition || Membership is null || claim.Session is not { } session)
            return false;
        if (claim.HoldUntilIdle())
            return true;
        claim.BackOff();
        _ = BeginAgainAsync(claim, session, failure);
        return true;
    }

    private ReadFrom? Choose(Func<OffsetOutOfRangeException, ReadFrom?> choose, OffsetOutOfRangeException gone)
    {
        try
        {
            return choose(gone)?.Chosen;
        }
        catch (Exception e)
        {
            // A fault of the application concerns this partition alone.
            LogOutOfRangeFailed(e, gone.Partition);
            return null;
        }
    }

    private async Task BeginAgainAsync(AssignedPartition claim, FetchSession session, ConsumeException failure)
    {
        LogUnknownPartition(claim.Partition);
        try
        {
            await Task.Delay(_reader.RetryBackoffMax, Time, claim.Gone).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return;
        }
        if (claim.Session == session)
            claim.Begin(failure.Offset >= 0 ? ReadFrom.Offset(failure.Offset) : session.Start);
    }

    private AssignedPartition? Find(TopicPartition partition)
    {
        lock (_gate)
            return _assigned.GetValueOrDefault(partition);
    }

    private AssignedPartition Claim(TopicPartition partition) => Find(partition) ?? throw NotMine(partition);

    private static InvalidOperationException NotMine(TopicPartition partition) =>
        new($"{partition} is not (or no longer) assigned to this consumer; see Assignment.");

    [LoggerMessage(21, LogLevel.Warning, "{Partition} has no offset {Offset} (it holds {LogStart} to {HighWatermark}). "
        + "As OutOfRange decided, reading continues at {Position}.")]
    private partial void LogOutOfRange(TopicPartition partition, long offset, long logStart, long highWatermark, string position);

    [LoggerMessage(45, LogLevel.Error, "ConsumerOptions.OutOfRange failed for {Partition}, which is not read until a seek.")]
    private partial void LogOutOfRangeFailed(Exception exception, TopicPartition partition);

    [LoggerMessage(22, LogLevel.Warning, "{Partition} is unknown to its broker; retrying until the group revokes it.")]
    private partial void LogUnknownPartition(TopicPartition partition);
}
