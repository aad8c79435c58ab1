using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Groups;
using OrleansMq.Compression;
using OrleansMq.Producers;
using OrleansMq.Records;

namespace OrleansMq.Tests.Client;

/// <summary>A call of <see cref="IBroker.ProduceAsync"/>, to which a script reacts.</summary>
/// <param name="Partition">The partition.</param>
/// <param name="Header">The batch's header, as sent.</param>
/// <param name="Number">The number of earlier calls of this broker.</param>
/// <param name="Acks">The level.</param>
internal sealed record ProduceCall(TopicPartition Partition, RecordBatchHeader Header, int Number, Acks Acks);

/// <summary>The broker's reaction to a call.</summary>
internal sealed record Reaction
{
    /// <summary>Appends and acknowledges.</summary>
    public static Reaction Normal { get; } = new();

    /// <summary>Refuses and appends nothing.</summary>
    public static Reaction Refuse(ErrorCode code) => new() { Appends = false, Answer = code };

    /// <summary>Appends, but loses the response: the sender gets an unknown outcome.</summary>
    public static Reaction LoseAnswer { get; } = new() { Answer = ErrorCode.RequestTimedOut };

    /// <summary>Appends nothing, and the sender gets an unknown outcome.</summary>
    public static Reaction LoseRequest { get; } = new() { Appends = false, Answer = ErrorCode.RequestTimedOut };

    public bool Appends { get; init; } = true;
    public ErrorCode? Answer { get; init; }
    /// <summary>Awaited before anything is done.</summary>
    public Task Before { get; init; } = Task.CompletedTask;
    /// <summary>Awaited between append and answer.</summary>
    public Task After { get; init; } = Task.CompletedTask;
    /// <summary>The exception that the call throws instead of returning.</summary>
    public Exception? Throws { get; init; }
}

/// <summary>A record in the broker's log.</summary>
internal sealed record LoggedRecord(long Offset, string? Key, string? Value);

/// <summary>An in-memory broker with real producer state that misbehaves on cue.</summary>
internal sealed class ScriptedBroker(params (string Topic, int Partitions)[] topics) : IBroker
{
    private readonly ConcurrentDictionary<string, int> _topics = new(topics.ToDictionary(topic => topic.Topic, topic => topic.Partitions));
    private readonly ConcurrentDictionary<TopicPartition, PartitionLog> _logs = new();
    private int _calls;
    private long _nextProducerId;

    /// <summary>Decides the reaction to a call, on the caller's thread.</summary>
    public Func<ProduceCall, Reaction> OnProduce { get; set; } = _ => Reaction.Normal;
    /// <summary>Runs when a topic is looked up; null answers normally.</summary>
    public Func<string, Task>? OnGetTopic { get; set; }
    /// <summary>Runs when a producer id is requested; null answers normally.</summary>
    public Func<Task>? OnInitProducerId { get; set; }
    /// <summary>Answers a fetch; null returns the log.</summary>
    public Func<FetchRequest, CancellationToken, ValueTask<FetchResult>>? OnFetch { get; set; }
    public Func<TopicPartition, OffsetSpec, OffsetResult>? OnFindOffset { get; set; }
    /// <summary>The time that records get with their append; -1: they keep their own.</summary>
    public long LogAppendTime { get; set; } = -1;

    public int Calls => Volatile.Read(ref _calls);
    public int ProducerIdsGiven => (int)Volatile.Read(ref _nextProducerId);

    public void SetPartitions(string topic, int partitions) => _topics[topic] = partitions;

    public IReadOnlyList<LoggedRecord> Log(string topic, int partition = 0) => LogOf(new TopicPartition(topic, partition)).Records;

    public IEnumerable<string?> Values(string topic, int partition = 0) => Log(topic, partition).Select(record => record.Value);

    public PartitionLog LogOf(TopicPartition partition) => _logs.GetOrAdd(partition, _ => new PartitionLog());

    public async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default)
    {
        var call = new ProduceCall(partition, RecordBatchHeader.Read(batch.Span), Interlocked.Increment(ref _calls) - 1, acks);
        var log = LogOf(partition);
        log.Enter();
        try
        {
            var before = batch.ToArray();
            var reaction = OnProduce(call);
            await GateAsync(reaction.Before);
            var result = reaction.Appends ? log.Append(batch) with { LogAppendTime = LogAppendTime } : default;
            await GateAsync(reaction.After);
            // The broker owns the memory until it answers; it must be unchanged.
            Assert.True(before.AsSpan().SequenceEqual(batch.Span), "The batch changed while the broker had it.");
            if (reaction.Throws is { } exception)
                throw exception;
            return reaction.Answer is { } code ? ProduceResult.Failed(code, $"as told: {code}") : result;
        }
        finally
        {
            log.Leave();
        }
    }

    // A test that fails before it opens the gate must end, though its producer waits for all answers when it is disposed.
    private static async Task GateAsync(Task gate) => await await Task.WhenAny(gate, Task.Delay(Wait.Deadline));

    public async ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default)
    {
        if (OnGetTopic is { } script)
            await script(topic);
        return _topics.TryGetValue(topic, out var partitions)
            ? new TopicListing(topic, Guid.Empty, partitions)
            : throw new BrokerException(ErrorCode.UnknownTopicOrPartition, $"no topic '{topic}'");
    }

    public async ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default)
    {
        if (OnInitProducerId is { } script)
            await script();
        return new ProducerIdentity(Interlocked.Increment(ref _nextProducerId) - 1, 0);
    }

    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        OnFetch is { } script ? script(request, cancellationToken) : LogOf(request.Partition).FetchAsync(request, cancellationToken);

    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default) =>
        new(OnFindOffset?.Invoke(partition, spec) ?? LogOf(partition).Find(spec));

    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => throw new NotSupportedException();
    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        new([.. _topics.Select(static topic => new TopicListing(topic.Key, Guid.Empty, topic.Value))]);
    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs,
        CancellationToken cancellationToken = default) => throw new NotSupportedException();
    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public IClusterAdministration Administration => SoleBrokerAdministration.Instance;

    public IGroupCoordinator Groups { get; set; } = NoGroupCoordinator.Instance;

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
}

/// <summary>One partition of a <see cref="ScriptedBroker"/>.</summary>
internal sealed class PartitionLog
{
    private readonly Lock _gate = new();
    private readonly ProducerStateManager _producers = new();
    private readonly List<LoggedRecord> _records = [];
    private readonly List<RecordBatchHeader> _batches = [];
    private readonly List<byte[]> _bytes = [];
    private TaskCompletionSource _appended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _inFlight;

    /// <summary>The largest number of concurrent calls so far.</summary>
    public int MaxInFlight { get; private set; }

    public IReadOnlyList<LoggedRecord> Records
    {
        get
        {
            lock (_gate)
                return [.. _records];
        }
    }

    public IReadOnlyList<RecordBatchHeader> Batches
    {
        get
        {
            lock (_gate)
                return [.. _batches];
        }
    }

    public void Enter()
    {
        lock (_gate)
            MaxInFlight = Math.Max(MaxInFlight, ++_inFlight);
    }

    public void Leave()
    {
        lock (_gate)
            _inFlight--;
    }

    public ProduceResult Append(ReadOnlyMemory<byte> batch)
    {
        lock (_gate)
        {
            Assert.Null(RecordBatches.Validate(batch.Span, out var header));
            header = header with { BaseOffset = _records.Count };
            var decision = _producers.Check(header);
            if (decision.ErrorCode != ErrorCode.None)
                return ProduceResult.Failed(decision.ErrorCode, decision.Outcome.ToString());
            if (decision.Outcome == ProducerOutcome.Duplicate)
                return new ProduceResult(ErrorCode.None, decision.BaseOffset);
            var bytes = batch.ToArray();
            RecordBatchHeader.StampBaseOffset(bytes, header.BaseOffset);
            _producers.Apply(header, 0);
            _batches.Add(header);
            _bytes.Add(bytes);
            using var reader = new RecordReader(bytes, StandardCodecs.All);
            while (reader.MoveNext())
                _records.Add(new LoggedRecord(reader.Current.Offset, Text(reader.Current.Key), Text(reader.Current.Value)));
            _appended.TrySetResult();
            _appended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return new ProduceResult(ErrorCode.None, header.BaseOffset);
        }
    }

    /// <summary>Forgets all producers, as a broker does when they expire.</summary>
    public void ForgetProducers()
    {
        lock (_gate)
            _producers.Reset(_producers.EndOffset);
    }

    public async ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task appended;
            lock (_gate)
            {
                if (request.Offset > _records.Count)
                    return FetchResult.Failed(ErrorCode.OffsetOutOfRange, "beyond the end", _records.Count, _records.Count, 0);
                if (request.Offset < _records.Count)
                    return new FetchResult(ErrorCode.None, _records.Count, _records.Count, 0, Take(request));
                appended = _appended.Task;
            }
            if (request.MaxWait == TimeSpan.Zero)
                return new FetchResult(ErrorCode.None, request.Offset, request.Offset, 0, default);
            await appended.WaitAsync(cancellationToken);
        }
    }

    public OffsetResult Find(OffsetSpec spec)
    {
        lock (_gate)
        {
            if (spec == OffsetSpec.Earliest)
                return new OffsetResult(ErrorCode.None, 0);
            if (spec == OffsetSpec.Latest)
                return new OffsetResult(ErrorCode.None, _records.Count);
            var found = _batches.Where(batch => batch.MaxTimestamp >= spec.Value).Select(batch => batch.BaseOffset).DefaultIfEmpty(-1)
                .First();
            return new OffsetResult(ErrorCode.None, found);
        }
    }

    private ReadOnlyMemory<byte> Take(FetchRequest request)
    {
        var taken = new List<byte>();
        for (var i = 0; i < _batches.Count; i++)
        {
            if (_batches[i].LastOffset < request.Offset)
                continue;
            if (taken.Count > 0 && taken.Count + _bytes[i].Length > request.MaxBytes)
                break;
            taken.AddRange(_bytes[i]);
        }
        return taken.ToArray();
    }

    private static string? Text(ReadOnlyMemory<byte>? bytes) => bytes is { } some ? Encoding.UTF8.GetString(some.Span) : null;
}
