using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Grains;

namespace OrleansMq.Tests.Cluster.Brokers;

/// <summary>A grain factory whose topic and partition grains answer by script.</summary>
public class ScriptedGrains : DispatchProxy
{
    private ScriptedGrains Self => this;

    /// <summary>The topics by name, as their grains currently return them.</summary>
    public Dictionary<string, TopicListing> Topics { get; } = [];

    /// <summary>Answers a read of the partition with that key.</summary>
    public Func<string, PartitionRead, Task<FetchResult>> Read { get; set; } =
        (_, _) => throw new InvalidOperationException("No read was expected.");

    /// <summary>Answers an append to the partition with that key.</summary>
    public Func<string, Task<ProduceResult>> Append { get; set; } = _ => throw new InvalidOperationException("No append was expected.");

    /// <summary>Answers a lookup of the partition's end.</summary>
    public Func<Task<OffsetResult>> End { get; set; } = () => throw new InvalidOperationException("No lookup was expected.");

    /// <summary>Answers a deletion of records before an offset.</summary>
    public Func<long, Task<long>> Delete { get; set; } = _ => throw new InvalidOperationException("No deletion was expected.");

    /// <summary>Answers a purge of the queue with that name below an offset.</summary>
    public Func<string, long?, Task> Purge { get; set; } = (_, _) => throw new InvalidOperationException("No purge was expected.");

    /// <summary>Answers the other calls of queues, by the method's name and its arguments.</summary>
    public Func<string, object?[], Task> Queue { get; set; } = (method, _) => throw new NotSupportedException($"No script for {method}.");

    /// <summary>Answers a change of a topic that must have an id.</summary>
    public Func<Guid?, Task<TopicDescription>> Change { get; set; } = _ => throw new InvalidOperationException("No change was expected.");

    /// <summary>Answers calls of the cluster's grain; without it the membership is unknown.</summary>
    public Func<Task>? Controller { get; set; }

    /// <summary>What a topic grain lookup waits for before it looks.</summary>
    public Func<Task> Looks { get; set; } = () => Task.CompletedTask;

    /// <summary>The number of topic grain lookups.</summary>
    public int Lookups { get; private set; }

    public static (IGrainFactory Factory, ScriptedGrains Script) Create()
    {
        var factory = Create<IGrainFactory, ScriptedGrains>();
        return (factory, ((ScriptedGrains)(object)factory).Self);
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        var key = (string)args![0]!;
        return targetMethod!.ReturnType == typeof(ITopicGrain) ? new Topic(this, key)
            : targetMethod.ReturnType == typeof(IPartitionGrain) || targetMethod.ReturnType == typeof(IPartitionAppendGrain)
            ? new Partition(this, key)
            : targetMethod.ReturnType == typeof(IQueueGrain) ? Queues.Create(this)
            : targetMethod.ReturnType == typeof(IClusterGrain) ? Cluster.Create(Controller
                ?? throw new BrokerException(ErrorCode.LeaderNotAvailable, "the membership is unknown"))
            : throw new NotSupportedException($"No script for {targetMethod.ReturnType}.");
    }

    /// <summary>The cluster's grain: each call has the answer of the script.</summary>
    public class Cluster : DispatchProxy
    {
        private Func<Task> _answer = null!;

        public static IClusterGrain Create(Func<Task> answer)
        {
            var grain = Create<IClusterGrain, Cluster>();
            ((Cluster)(object)grain)._answer = answer;
            return grain;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => _answer();
    }

    /// <summary>The queues of a partition: each call has the answer of the script.</summary>
    public class Queues : DispatchProxy
    {
        private ScriptedGrains _script = null!;

        public static IQueueGrain Create(ScriptedGrains script)
        {
            var grain = Create<IQueueGrain, Queues>();
            ((Queues)(object)grain)._script = script;
            return grain;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
            targetMethod!.Name == nameof(IQueueGrain.PurgeAsync) ? _script.Purge((string)args![0]!, (long?)args[1])
            : _script.Queue(targetMethod.Name, args!);
    }

    private sealed class Topic(ScriptedGrains script, string name) : ITopicGrain
    {
        public async Task<TopicListing?> FindAsync(CancellationToken cancellationToken)
        {
            script.Lookups++;
            var found = script.Topics.GetValueOrDefault(name);
            await script.Looks();
            return found;
        }

        public Task<TopicDescription> DescribeAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task<TopicDescription> AlterAsync(Dictionary<string, string?> configs, Guid? topicId, CancellationToken cancellationToken) =>
            script.Change(topicId);

        public Task<TopicDescription> AddPartitionsAsync(int totalCount, Guid? topicId, CancellationToken cancellationToken) =>
            script.Change(topicId);
    }

    private sealed class Partition(ScriptedGrains script, string key) : IPartitionGrain, IPartitionAppendGrain
    {
        public Task<ProduceResult> AppendAsync(BatchInCall batch, Acks acks) => script.Append(key);

        public Task<ProduceResult> AppendInTransactionAsync(BatchInCall batch, string transactionalId, long transaction) =>
            script.Append(key);

        public Task<ProduceResult[]> AppendManyAsync(BatchInCall[] batches, Acks acks) =>
            Task.WhenAll(batches.Select(_ => script.Append(key)));

        public Task<ProduceResult> AppendAsync(ReadOnlyMemory<byte> batch, Acks acks, CancellationToken cancellationToken) =>
            script.Append(key);

        public Task<FetchResult> ReadAsync(PartitionRead read, CancellationToken cancellationToken) => script.Read(key, read);

        public Task<OffsetResult> FindOffsetAsync(OffsetSpec spec, CancellationToken cancellationToken) =>
            spec == OffsetSpec.Latest ? script.End() : throw new NotSupportedException();

        public Task<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken) => script.Delete(beforeOffset);

        public Task<PartitionDescription> DescribeAsync(CancellationToken cancellationToken) =>
             throw new NotSupportedException();
    }
}
