using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
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
    public void A_coordinator_that_was_replaced_answers_no_fetch_from_memory()
    {
        var older = Open();
        older.Ask<OffsetCommitResult>(Commit(5));
        Open().Ask<OffsetCommitResult>(Commit(9));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, older.Ask<OffsetFetchResult>(Fetch).Error);
        Assert.True(older.Core.IsDeposed);
        Assert.Equal(ErrorCode.NotCoordinator, older.Ask<OffsetFetchResult>(Fetch).Error);
    }

    [Fact]
    public void Nor_one_that_knew_of_no_group()
    {
        var older = Open();
        Assert.Null(OffsetOf(older.Ask<OffsetFetchResult>(Fetch)));
        Open().Ask<OffsetCommitResult>(Commit(9));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, older.Ask<OffsetFetchResult>(Fetch).Error);
        Assert.True(older.Core.IsDeposed);
    }

    [Fact]
    public void Nor_one_whose_group_was_deleted_elsewhere()
    {
        var older = Open();
        older.Ask<OffsetCommitResult>(Commit(5));
        Assert.Equal(ErrorCode.None, Open().Ask<GroupReply>(new DeleteGroup("g")).Error);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, older.Ask<OffsetFetchResult>(Fetch).Error);
        Assert.False(older.Core.IsDeposed);
        Assert.Null(OffsetOf(older.Ask<OffsetFetchResult>(Fetch)));
    }

    [Fact]
    public void What_an_operator_acts_on_is_confirmed_too()
    {
        var older = Open();
        older.Ask<GroupReply>(new DeleteGroup("g"));
        Open().Ask<OffsetCommitResult>(Commit(9));
        // The group is there by now, whatever it remembers.
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, older.Ask<GroupReply>(new DeleteGroup("g")).Error);
    }

    [Fact]
    public void Figures_are_answered_from_memory_where_that_was_asked_for()
    {
        var older = Open();
        older.Ask<OffsetCommitResult>(Commit(5));
        Open().Ask<OffsetCommitResult>(Commit(9));
        Assert.Equal(5, OffsetOf(older.Ask<OffsetFetchResult>(Fetch with { AllowStale = true })));
        Assert.Equal(0, Confirmations(older));
    }

    [Fact]
    public void One_read_confirms_all_fetches_that_came_before_it_was_begun()
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
    public void A_write_that_was_begun_afterwards_confirms_without_a_read()
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
    public void A_write_that_was_under_way_confirms_nothing()
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
    public void A_read_that_fails_is_the_answer_of_those_who_waited_for_it()
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
    public void A_group_that_is_deleted_while_the_store_is_asked_is_no_others()
    {
        var core = Open();
        core.Ask<OffsetCommitResult>(Commit(5));
        core.HoldConfirmations = true;
        var fetching = core.Send(Fetch);
        Assert.Equal(ErrorCode.None, core.Ask<GroupReply>(new DeleteGroup("g")).Error);
        Assert.Equal(5, OffsetOf(core.Replies[fetching])); // The delete has shown whose the group was.
        core.FinishConfirmation();
        core.HoldConfirmations = false;
        Assert.Null(OffsetOf(core.Ask<OffsetFetchResult>(Fetch)));
        Assert.DoesNotContain(core.Seen, effect => effect is ReadStored);
    }
}
