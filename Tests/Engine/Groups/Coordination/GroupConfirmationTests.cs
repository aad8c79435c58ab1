using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

/// <summary>Reads that a caller acts on are answered only by the coordinator that owns the group.</summary>
public sealed class GroupConfirmationTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly GroupTopics Topics =
        GroupTopics.Of((ClusterImage.Empty with { Version = 1 }).WithTopic(new ImageTopic("t", Guid.CreateVersion7(), TopicStatus.Active, 1,
        ImmutableSortedDictionary<string, string>.Empty, [ImagePartition.Create([1])], 1)));

    private static readonly OffsetFetch Fetch = new() { GroupId = "g", Partitions = [new TopicPartition("t", 0)] };

    private readonly ScriptedStore _store = new();
    private short _lastCore;

    private ScriptedCore Open(bool holdWrites = false) => new(_store, Start, Topics, number: ++_lastCore, holdWrites: holdWrites);

    private static OffsetCommit Commit(long offset) =>
        new() { GroupId = "g", Offsets = [new PartitionOffset("t", 0, new CommittedOffset(offset))] };

    private static long? OffsetOf(object reply) => Assert.Single(Assert.IsType<OffsetFetchResult>(reply).Partitions).Offset?.Offset;

    private static int Confirmations(ScriptedCore core) => core.Seen.Count(effect => effect is ConfirmClaim);

    [Fact]
    public void Superseded_coordinator_answers_no_fetch_from_memory()
    {
        var older = Open();
        older.Ask<OffsetCommitResult>(Commit(5));
        Open().Ask<OffsetCommitResult>(Commit(9));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, older.Ask<OffsetFetchResult>(Fetch).Error);
        Assert.True(older.Core.IsDeposed);
        Assert.Equal(ErrorCode.NotCoordinator, older.Ask<OffsetFetchResult>(Fetch).Error);
    }

    [Fact]
    public void Superseded_coordinator_without_a_group_answers_no_fetch_from_memory()
    {
        var older = Open();
        Assert.Null(OffsetOf(older.Ask<OffsetFetchResult>(Fetch)));
        Open().Ask<OffsetCommitResult>(Commit(9));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, older.Ask<OffsetFetchResult>(Fetch).Error);
        Assert.True(older.Core.IsDeposed);
    }

    [Fact]
    public void Coordinator_of_a_group_deleted_elsewhere_answers_no_fetch_from_memory()
    {
        var older = Open();
        older.Ask<OffsetCommitResult>(Commit(5));
        Assert.Equal(ErrorCode.None, Open().Ask<GroupReply>(new DeleteGroup("g")).Error);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, older.Ask<OffsetFetchResult>(Fetch).Error);
        Assert.False(older.Core.IsDeposed);
        Assert.Null(OffsetOf(older.Ask<OffsetFetchResult>(Fetch)));
    }

    [Fact]
    public void Reads_before_operator_actions_are_confirmed()
    {
        var older = Open();
        older.Ask<GroupReply>(new DeleteGroup("g"));
        Open().Ask<OffsetCommitResult>(Commit(9));
        // The group exists by now, whatever the older coordinator remembers.
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, older.Ask<GroupReply>(new DeleteGroup("g")).Error);
    }

    [Fact]
    public void Figures_are_answered_from_memory_on_request()
    {
        var older = Open();
        older.Ask<OffsetCommitResult>(Commit(5));
        Open().Ask<OffsetCommitResult>(Commit(9));
        Assert.Equal(5, OffsetOf(older.Ask<OffsetFetchResult>(Fetch with { AllowStale = true })));
        Assert.Equal(0, Confirmations(older));
    }

    [Fact]
    public void One_store_read_confirms_all_earlier_fetches()
    {
        var core = Open();
        core.Ask<OffsetCommitResult>(Commit(5));
        core.HoldConfirmations = true;
        var first = core.Send(Fetch);
        long[] later = [core.Send(Fetch), core.Send(Fetch), core.Send(Fetch)];
        Assert.Equal(1, core.HeldConfirmations);
        core.FinishConfirmation();
        Assert.Equal(5, OffsetOf(core.Replies[first]));
        Assert.All(later, request => Assert.False(core.Replies.ContainsKey(request)));
        core.FinishConfirmation();
        Assert.All(later, request => Assert.Equal(5, OffsetOf(core.Replies[request])));
        Assert.Equal(2, Confirmations(core));
        Assert.Equal(0, core.HeldConfirmations);
    }

    [Fact]
    public void Write_started_later_confirms_without_a_read()
    {
        Open().Ask<OffsetCommitResult>(Commit(5));
        var next = Open(holdWrites: true);
        var fetching = next.Send(Fetch);
        next.Finish();
        next.Finish();
        Assert.Equal(5, OffsetOf(next.Replies[fetching]));
        Assert.Equal(0, Confirmations(next));
    }

    [Fact]
    public void Write_in_progress_confirms_nothing()
    {
        var core = Open();
        core.Ask<OffsetCommitResult>(Commit(5));
        (core.HoldWrites, core.HoldConfirmations) = (true, true);
        core.Send(Commit(6));
        var fetching = core.Send(Fetch);
        core.Finish();
        Assert.False(core.Replies.ContainsKey(fetching));
        core.FinishConfirmation();
        Assert.Equal(6, OffsetOf(core.Replies[fetching]));
    }

    [Fact]
    public void Failed_read_fails_the_fetches_that_wait_for_it()
    {
        var core = Open();
        core.Ask<OffsetCommitResult>(Commit(5));
        core.IsUnreadable = true;
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, core.Ask<OffsetFetchResult>(Fetch).Error);
        core.IsUnreadable = false;
        Assert.Equal(5, OffsetOf(core.Ask<OffsetFetchResult>(Fetch)));
        Assert.Equal(2, Confirmations(core));
    }

    [Fact]
    public void Group_deleted_during_confirmation_belongs_to_no_other_coordinator()
    {
        var core = Open();
        core.Ask<OffsetCommitResult>(Commit(5));
        core.HoldConfirmations = true;
        var fetching = core.Send(Fetch);
        Assert.Equal(ErrorCode.None, core.Ask<GroupReply>(new DeleteGroup("g")).Error);
        Assert.Equal(5, OffsetOf(core.Replies[fetching])); // The delete has confirmed the group's owner.
        core.FinishConfirmation();
        core.HoldConfirmations = false;
        Assert.Null(OffsetOf(core.Ask<OffsetFetchResult>(Fetch)));
        Assert.DoesNotContain(core.Seen, effect => effect is ReadStored);
    }
}
