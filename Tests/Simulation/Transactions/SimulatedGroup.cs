using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Groups;
using OrleansMq.Groups.Offsets;
using OrleansMq.Topics;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Simulation.Transactions;

/// <summary>A group's offsets by the shipped decisions. What it has answered is durable; it may be away for a while.</summary>
internal sealed class SimulatedGroup(TransactionSimulation simulation, string id)
{
    public const int Partitions = 2;

    private const string Topic = "source";
    private static readonly GroupTopics Topics = GroupTopics.Of((ClusterImage.Empty with { Version = 1 }).WithTopic(new ImageTopic(Topic,
        new Guid(1, 0, 0, new byte[8]), TopicStatus.Active, 1, ImmutableSortedDictionary<string, string>.Empty,
        [.. Enumerable.Repeat(ImagePartition.Create([0]), Partitions)], Partitions)));
    private static readonly GroupOptions Options = new();

    private GroupOffsets _offsets = GroupOffsets.Empty;
    private long _awayUntil;

    public string Id { get; } = id;
    public bool HasPending => !_offsets.Pending.IsEmpty;
    /// <summary>All commits that were taken, in their order, with their transaction; null for none.</summary>
    public List<(int Partition, int Offset, ClientTransaction? Transaction)> Taken { get; } = [];

    private bool IsAway => simulation.Now < _awayUntil;

    /// <summary>Returns the committed offset of a partition; null for none.</summary>
    public long? Find(int partition) => _offsets.Find(new TopicPartition(Topic, partition))?.Offset;

    public void Stop(int milliseconds) => _awayUntil = simulation.Now + milliseconds;

    public void CommitPlainly(int partition, int offset)
    {
        if (IsAway)
            return;
        Taken.Add((partition, offset, null));
        _offsets = simulation.Participants.Commit(_offsets, new OffsetCommit { GroupId = Id, Offsets = [Of(partition, offset)] }, Topics,
            Options, simulation.Time).Next;
    }

    /// <summary>Commits an offset in a transaction.</summary>
    public void Commit(ClientTransaction transaction, long number, int partition, int offset, Action<ErrorCode> answered)
    {
        if (IsAway)
        {
            answered(ErrorCode.NotCoordinator);
            return;
        }
        var producer = transaction.Producer;
        var (next, result) = simulation.Participants.Commit(_offsets, new TransactionOffsetCommit
        {
            GroupId = Id,
            TransactionalId = transaction.Client.Id,
            Producer = producer,
            Number = number,
            Offsets = [Of(partition, offset)],
        }, Topics, Options, simulation.Time);
        var error = result.Partitions[0].Error;
        if (simulation.IsTraced)
            simulation.Tell($"{this}: {transaction} commits {partition}={offset} in {TransactionSimulation.Short(number)}: {error}");
        if (error == ErrorCode.None)
        {
            simulation.Outcomes.OnOffset(this, transaction, number, isRepeated: Taken.Contains((partition, offset, transaction)));
            Taken.Add((partition, offset, transaction));
            _offsets = next;
            simulation.Figures.Offsets++;
        }
        else if (error == ErrorCode.TransactionAbortable)
            simulation.Figures.TooLate++;
        answered(error);
    }

    /// <summary>Ends a transaction.</summary>
    public void End(TransactionEnd end, Action<ParticipantOutcome> answered)
    {
        if (IsAway)
        {
            answered(simulation.Participants.OutcomeOf(ErrorCode.NotCoordinator));
            return;
        }
        var producerId = end.Producer.ProducerId;
        var before = _offsets.Pending.Find(producerId);
        var (next, reply) = simulation.Participants.End(_offsets, ParticipantOutcomes.ForGroup(Id, end), simulation.Time);
        if (ReferenceEquals(next, _offsets))
            simulation.Figures.Repeated++;
        else
            simulation.Outcomes.OnEnd(end, Id);
        Verdict.Require(before is null || before.Number == end.Number || ReferenceEquals(before, next.Pending.Find(producerId)),
            $"3: transaction {end.Number} ends in {Id}, which has offsets of {before?.Number}");
        _offsets = next;
        answered(simulation.Participants.OutcomeOf(reply.Error));
    }

    public override string ToString() => Id;

    private static PartitionOffset Of(int partition, int offset) => new(Topic, partition, new CommittedOffset(offset));
}
