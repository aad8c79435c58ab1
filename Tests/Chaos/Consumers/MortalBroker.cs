using OrleansMq.Brokers;
using OrleansMq.Groups;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>
/// The broker as a process has it that may be killed: from then on nothing it asks leaves it, and nothing that it is answered arrives. What was on its way is
/// done all the same, as after a SIGKILL.
/// </summary>
internal sealed class MortalBroker(IBroker broker) : IBroker
{
    private readonly Mortality _life = new();

    public IGroupCoordinator Groups => new MortalGroups(broker.Groups, _life);

    /// <summary>Ends it.</summary>
    public void Kill() => _life.Kill();

    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.CreateTopicAsync(topic, cancellationToken), cancellationToken);

    public async ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => await _life.LiveAsync(async () =>
    {
        await broker.DeleteTopicAsync(topic, cancellationToken);
        return true;
    }, cancellationToken);

    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.ListTopicsAsync(cancellationToken), cancellationToken);

    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.DescribeTopicAsync(topic, cancellationToken), cancellationToken);

    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.GetTopicAsync(topic, cancellationToken), cancellationToken);

    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.AlterTopicAsync(topic, configs, cancellationToken), cancellationToken);

    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.AddPartitionsAsync(topic, totalCount, cancellationToken), cancellationToken);

    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.ProduceAsync(partition, batch, acks, cancellationToken), cancellationToken);

    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.FetchAsync(request, cancellationToken), cancellationToken);

    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.FindOffsetAsync(partition, spec, cancellationToken), cancellationToken);

    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.DeleteRecordsAsync(partition, beforeOffset, cancellationToken), cancellationToken);

    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.InitProducerIdAsync(cancellationToken), cancellationToken);

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
        _life.LiveAsync(() => broker.DescribeClusterAsync(cancellationToken), cancellationToken);
}

/// <summary>Whether a process lives; its calls after its death never end.</summary>
internal sealed class Mortality
{
    private volatile bool _isDead;

    public void Kill() => _isDead = true;

    public async ValueTask<T> LiveAsync<T>(Func<ValueTask<T>> call, CancellationToken cancellationToken)
    {
        if (!_isDead)
        {
            var result = await call();
            if (!_isDead)
                return result;
        }
        await Task.Delay(Timeout.Infinite, cancellationToken);
        throw new InvalidOperationException("a dead process goes on");
    }
}

/// <summary>Groups as a process has them that may be killed.</summary>
internal sealed class MortalGroups(IGroupCoordinator groups, Mortality life) : IGroupCoordinator
{
    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.FindCoordinatorAsync(groupId, cancellationToken), cancellationToken);

    public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.JoinGroupAsync(request, cancellationToken), cancellationToken);

    public ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.SyncGroupAsync(request, cancellationToken), cancellationToken);

    public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.HeartbeatAsync(request, cancellationToken), cancellationToken);

    public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.LeaveGroupAsync(request, cancellationToken), cancellationToken);

    public ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.ConsumerGroupHeartbeatAsync(request, cancellationToken), cancellationToken);

    public ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.CommitOffsetsAsync(request, cancellationToken), cancellationToken);

    public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.FetchOffsetsAsync(request, cancellationToken), cancellationToken);

    public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.DeleteOffsetsAsync(request, cancellationToken), cancellationToken);

    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.ListGroupsAsync(cancellationToken), cancellationToken);

    public ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken = default) =>
        life.LiveAsync(() => groups.DescribeGroupAsync(groupId, cancellationToken), cancellationToken);

    public async ValueTask DeleteGroupAsync(string groupId, CancellationToken cancellationToken = default) => await life.LiveAsync(async () =>
    {
        await groups.DeleteGroupAsync(groupId, cancellationToken);
        return true;
    }, cancellationToken);
}
