using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Simulation.Groups;

// Coordinators of the group: at most one in the directory, but several may be alive.
internal sealed partial class GroupSimulation
{
    private static readonly DateTimeOffset Epoch = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly GroupOptions _options;
    private readonly GroupRules _rules;
    private readonly List<SimulatedCoordinator> _coordinators = [];
    /// <summary>The coordinator in the directory; null: the next request starts one.</summary>
    private SimulatedCoordinator? _coordinator;
    private int _opened;
    private long _requests;

    private DateTimeOffset Time => Epoch.AddMilliseconds(Now);

    /// <summary>Chooses the coordinator for a member: the current one or a former one.</summary>
    public SimulatedCoordinator? FindCoordinator()
    {
        if (!Quiet && _coordinators.Count > 1 && Chance(Scenario.MisroutedPercent))
            return Choose(_coordinators);
        return _coordinator ??= Open();
    }

    private SimulatedCoordinator Open()
    {
        if (_opened > 0)
            Figures.Failovers++;
        if (_coordinators.Count > 0)
            Figures.Zombies++;
        var coordinator = new SimulatedCoordinator(_opened++);
        _coordinators.Add(coordinator);
        if (IsTraced)
            Tell($"{coordinator} OPENS");
        BeginToSee((version, topics) => SeeTopics(coordinator, version, topics));
        Read(coordinator);
        // The directory repairs itself eventually, so a second coordinator does not live for ever.
        var older = _coordinators[..^1];
        After(_random.Next(1_000, 15_000), () => older.ForEach(Stop));
        return coordinator;
    }

    private void Stop(SimulatedCoordinator coordinator)
    {
        coordinator.IsUp = false;
        _coordinators.Remove(coordinator);
        if (_coordinator == coordinator)
            _coordinator = null;
    }

    private void RunOn(SimulatedCoordinator coordinator, Action step)
    {
        if (!coordinator.IsUp)
            return;
        if (coordinator.PausedUntil > Now)
            After(coordinator.PausedUntil - Now, () => RunOn(coordinator, step));
        else
            step();
    }

    /// <summary>A request arrives at a coordinator.</summary>
    private void Handle(SimulatedCoordinator coordinator, IGroupRequest body, Action<object> answer)
    {
        var id = ++_requests;
        Transactions.OnArrived(body);
        switch (body)
        {
            case OffsetCommit commit:
                Offsets.OnCommitArrived(coordinator.Number, commit);
                break;
            case OffsetDelete delete:
                Offsets.OnDeleteArrived(coordinator.Number, delete.Partitions.SelectMany(EverCalled));
                break;
            case DeleteGroup:
                coordinator.WasToDelete = true;
                Offsets.OnGroupDeleteArrived(coordinator.Number);
                break;
        }
        coordinator.Waiting.Add(id,
            new OpenRequest(body, coordinator.Known, coordinator.View.Members.Count > 0, _answers.Revealed,
                Offsets.Arrivals, answer));
        Give(coordinator, new CoordinatorRequest(id, body, NewGuid()));
    }

    /// <summary>Delays requests while a coordinator still reads the stored state.</summary>
    private static void WhenServing(SimulatedCoordinator coordinator, Action step)
    {
        if (coordinator.Core is null)
            coordinator.Early.Enqueue(step);
        else
            step();
    }

    /// <summary>Returns a partition of all topics that ever had its topic's name.</summary>
    public IEnumerable<TopicIdPartition> EverCalled(TopicPartition partition) =>
        _names.Where(n => n.Value == partition.Topic).Select(n => new TopicIdPartition(n.Key, partition.Partition));

    /// <summary>The stored state was read, for the first time or again.</summary>
    private void OnRead(SimulatedCoordinator coordinator, StoredGroup stored)
    {
        Learn(coordinator, stored.Group);
        if (coordinator.Core is not null)
        {
            Give(coordinator, new ReadCompleted(stored));
            return;
        }
        coordinator.Core = new GroupCore(GroupId, coordinator.Number, _options, coordinator.Topics, NewGuid(), stored, Time, _rules);
        _membership.OnOpened(coordinator, stored.Group, Now);
        Perform(coordinator);
        while (coordinator.Early.TryDequeue(out var request))
            request();
    }

    private void Give(SimulatedCoordinator coordinator, CoordinatorCommand command)
    {
        var core = coordinator.Core!;
        _membership.OnCommand(coordinator, command);
        core.Execute(command, Time);
        _membership.OnExecuted(coordinator, command, Now);
        Perform(coordinator);
    }

    private void Perform(SimulatedCoordinator coordinator)
    {
        var effects = new List<CoordinatorEffect>();
        coordinator.Core!.TakeEffects(effects);
        foreach (var effect in effects)
            Perform(coordinator, effect);
        if (coordinator.WantsToRead && coordinator.WritesInFlight == 0)
            Read(coordinator);
    }

    private void Perform(SimulatedCoordinator coordinator, CoordinatorEffect effect)
    {
        switch (effect)
        {
            case Reply reply:
                OnReply(coordinator, reply);
                break;
            case Store write:
                Write(coordinator, write);
                break;
            case ReadStored:
                coordinator.WantsToRead = true;
                break;
            case ConfirmClaim confirm:
                Confirm(coordinator, confirm);
                break;
            case WakeAt wake:
                WakeUp(coordinator, wake);
                break;
            case AskOfTransaction:
                // Nothing answers: a transaction is ended by its producer.
                break;
            case Deposed:
                Stop(coordinator);
                break;
            case LogLine line:
                if (IsTraced)
                    Tell($"{coordinator}: {line.Message}");
                break;
            default:
                throw new Verdict($"effects: there is no {effect}");
        }
    }

    private void WakeUp(SimulatedCoordinator coordinator, WakeAt wake)
    {
        var number = ++coordinator.Wakes;
        if (wake.Time is not { } time)
            return;
        // A timer may be late, never early.
        var delay = Math.Max(0, (long)Math.Ceiling((time - Time).TotalMilliseconds)) + _random.Next(3);
        After(delay, () => RunOn(coordinator, () =>
        {
            if (coordinator.Wakes == number)
                Give(coordinator, new Wake());
        }));
    }

    private void OnReply(SimulatedCoordinator coordinator, Reply reply)
    {
        if (!coordinator.Waiting.Remove(reply.RequestId, out var request))
            throw new Verdict($"answers: request {reply.RequestId} is answered twice, or was never asked: {reply.Result}");
        if (IsTraced)
            Tell($"{coordinator} answers {Describe(request.Body)}: {Describe(reply.Result)}");
        if (!Transactions.OnAnswered(request.Body, reply.Result, _documents.Offsets.Value))
            _answers.OnAnswered(coordinator, request, reply.Result);
        request.Answer(reply.Result);
    }

    private void SeeTopics(SimulatedCoordinator coordinator, long version, IReadOnlyList<SimulatedTopic> topics)
    {
        if (version <= coordinator.TopicsVersion)
            return;
        coordinator.TopicsVersion = version;
        coordinator.Topics = ImageOf(version, topics);
        if (coordinator.Core is not null)
            RunOn(coordinator, () => Give(coordinator, new TopicsChanged(coordinator.Topics)));
    }

    // All coordinators that see a version see the same image.
    private readonly Dictionary<long, GroupTopics> _images = [];

    private GroupTopics ImageOf(long version, IReadOnlyList<SimulatedTopic> topics)
    {
        if (_images.TryGetValue(version, out var known))
            return known;
        var image = ClusterImage.Empty with { Version = version + 1,
            Deleted = [.. _views[..(int)version].SelectMany(v => v.Topics).Select(t => t.Id).Except(topics.Select(t => t.Id))] };
        foreach (var topic in topics)
            image = image.WithTopic(new ImageTopic(topic.Name, topic.Id, TopicStatus.Active, 1,
                ImmutableSortedDictionary<string, string>.Empty,
                [.. Enumerable.Repeat(ImagePartition.Create([0]), topic.Partitions)], topic.Partitions));
        return _images[version] = GroupTopics.Of(image);
    }

    private void Learn(SimulatedCoordinator coordinator, GroupDocument? document)
    {
        coordinator.Known = document;
        if (document is not null)
            coordinator.AllKnown.Add(document);
    }

    /// <summary>A write was stored.</summary>
    private void OnStored(SimulatedCoordinator coordinator, Store write, GroupDocument? group, GroupOffsetsDocument? offsets)
    {
        if (write.Document == GroupDocuments.Group)
        {
            var next = (GroupDocument?)write.Content;
            if (GroupView.GenerationOf(next) > GroupView.GenerationOf(group))
                Figures.Rebalances++;
            if (group is not null && next is not null && group.Type != next.Type)
                Figures.Migrations++;
            // Deleted, or deleted and started again before that was stored; the members may have left in the same moment.
            var isDeleted = next is null
                || (coordinator.WasToDelete && GroupView.GenerationOf(next) < GroupView.GenerationOf(group));
            TransitionChecker.OnStored(isDeleted ? null : group, next);
            if (isDeleted)
            {
                Ownership.OnDeleted();
                _answers.OnDeleted();
            }
            return;
        }
        Offsets.OnStored(coordinator.Number, offsets, _documents.Offsets.Value, coordinator.WasToDelete);
        Transactions.OnStored(offsets, _documents.Offsets.Value);
    }
}
