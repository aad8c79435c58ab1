using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A consumer as a member: what it hands out, gives up, loses, and what it tells the coordinator, which is scripted.</summary>
public sealed class ConsumerGroupTests : ConsumerFixture
{
    [Fact]
    public async Task A_member_reads_what_it_is_assigned_and_commits_what_is_done()
    {
        await SendAsync(0, "a", "b");
        await SendAsync(3, "c");
        await using (var consumer = Consume())
        {
            Assert.Equal(["a", "b", "c"], (await ReadAsync(consumer, 3)).Order());
            Assert.Null(await consumer.ReadAsync(TimeSpan.Zero)); // Asks for the next: all three are done.
            Assert.Equal(4, consumer.Assignment.Count);
        }
        Assert.Equal(2, Groups.Committed(P(0)));
        Assert.Equal(1, Groups.Committed(P(3)));
        Assert.Empty(Groups.Members);
    }

    [Fact]
    public async Task What_was_handed_out_last_is_not_done_until_the_next_is_asked_for()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        await using (var consumer = Consume())
            Assert.Equal(["a", "b"], await ReadAsync(consumer, 2));
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task A_commit_by_hand_includes_the_last_record()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        await using var consumer = Consume(Options() with { AutoCommit = false });
        await ReadAsync(consumer, 2);
        await consumer.CommitAsync().SoonAsync();
        Assert.Equal(2, Groups.Committed(P(0)));
        Assert.Equal(2, (await consumer.GetCommittedAsync([P(0)]).SoonAsync())[P(0)].Offset);
    }

    [Fact]
    public async Task One_record_is_committed_with_its_epoch_and_words()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        await using var consumer = Consume(Options() with { AutoCommit = false });
        var first = await consumer.ReadAsync().SoonAsync();
        await consumer.CommitAsync(first, "by hand").SoonAsync();

        var offset = Groups.Commits.Single().Offsets.Single();
        Assert.Equal((1L, first.LeaderEpoch, "by hand"), (offset.Offset.Offset, offset.Offset.LeaderEpoch, offset.Offset.Metadata));
        Assert.Equal(TopicId, offset.TopicId);
    }

    [Fact]
    public async Task A_commit_in_the_background_calls_back()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a");
        await using var consumer = Consume(Options() with { AutoCommit = false });
        await ReadAsync(consumer, 1);
        var called = new TaskCompletionSource<Exception?>();
        consumer.Commit(called.SetResult);
        Assert.Null(await called.Task.SoonAsync());
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Auto_commit_commits_by_the_clock_and_a_looked_up_start_too()
    {
        Groups.FirstAssignment = [All(0, 1)];
        Groups.Interval = TimeSpan.FromHours(1);
        await SendAsync(0, "a", "b");
        await using var consumer = Consume(Options() with { AutoCommitInterval = TimeSpan.FromSeconds(5),
            SessionTimeout = TimeSpan.FromDays(365), Reader = new ReaderOptions { TimeProvider = Clock } });
        await ReadAsync(consumer, 2);
        Assert.Empty(Groups.Commits);
        Assert.Equal(0, await consumer.GetPositionAsync(P(1)).SoonAsync());
        await Wait.UntilAsync(() =>
        {
            Clock.Advance(TimeSpan.FromSeconds(5)); // Again where the background was not there yet.
            return Groups.Committed(P(0)) == 1 && Groups.Committed(P(1)) == 0;
        }, "the offsets are committed");
    }

    [Fact]
    public async Task A_partition_to_be_given_up_waits_for_the_record_in_flight_and_is_committed()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        var heard = new Heard();
        await using var consumer = Consume(Options(heard));
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);

        Groups.Assign(await MemberAsync());
        await Wait.UntilAsync(() => Groups.Heartbeats[^1].MemberEpoch == 2, "the member hears of it");
        Assert.DoesNotContain("revoked 0", heard.All);

        Assert.Null(await consumer.ReadAsync(TimeSpan.Zero)); // "a" is done; "b" is another's.
        await Wait.UntilAsync(() => Groups.Owned(Groups.Members[0]) is { Count: 0 }, "it is given up");
        Assert.Equal(["assigned 0", "revoked 0"], heard.All);
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task What_is_kept_is_read_on_while_the_rest_is_given_up()
    {
        await SendAsync(0, "a");
        var mayGo = new TaskCompletionSource();
        var heard = new Heard { OnRevoked = (_, _) => mayGo.Task };
        await using var consumer = Consume(Options(heard));
        await ReadAsync(consumer, 1);

        Groups.Assign(await MemberAsync(), All(0, 1));
        await Wait.UntilAsync(() => Groups.Heartbeats[^1].MemberEpoch == 2, "the member hears of it");
        await SendAsync(1, "b");
        Assert.Equal("b", (await consumer.ReadAsync().SoonAsync()).Value);
        Assert.Equal([0, 1, 2, 3], Groups.Owned(Groups.Members[0])!.Single().Partitions);

        mayGo.SetResult();
        await Wait.UntilAsync(() => Groups.Owned(Groups.Members[0])!.Single().Partitions.Count == 2, "it says that it gave them up");
        Assert.Equal(["assigned 0 1 2 3", "revoked 2 3"], heard.All);
    }

    [Fact]
    public async Task Lost_partitions_are_not_committed_and_it_joins_again()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        var heard = new Heard();
        await using var consumer = Consume(Options(heard) with { AutoCommitInterval = TimeSpan.FromHours(1) });
        await ReadAsync(consumer, 2);

        Groups.ForgetMembers();
        await Wait.UntilAsync(() => heard.All.Count == 3, "it is lost and comes back");
        Assert.Equal(["assigned 0", "lost 0", "assigned 0"], heard.All);
        Assert.Null(Groups.Committed(P(0)));
        Assert.Equal(["a", "b"], await ReadAsync(consumer, 2));
    }

    [Fact]
    public async Task A_commit_that_is_fenced_says_so()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.OnCommit = _ => ErrorCode.UnknownMemberId;
        await SendAsync(0, "a");
        await using var consumer = Consume(Options() with { AutoCommit = false });
        await ReadAsync(consumer, 1);
        var fenced = await Assert.ThrowsAsync<CommitFencedException>(() => consumer.CommitAsync().SoonAsync());
        Assert.Equal([P(0)], fenced.Partitions);
        Assert.Equal(ErrorCode.UnknownMemberId, fenced.Code);
    }

    [Fact]
    public async Task A_commit_is_tried_again_while_the_coordinator_moves()
    {
        Groups.FirstAssignment = [All(0)];
        var refusals = 3;
        Groups.OnCommit = _ => Interlocked.Decrement(ref refusals) >= 0 ? ErrorCode.NotCoordinator : null;
        await SendAsync(0, "a");
        await using var consumer = Consume(Options() with { AutoCommit = false });
        await ReadAsync(consumer, 1);
        await consumer.CommitAsync().SoonAsync();
        Assert.Equal(4, Groups.Commits.Count);
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Heartbeats_survive_a_coordinator_that_is_away()
    {
        var refusals = 5;
        Groups.OnHeartbeat = _ => Interlocked.Decrement(ref refusals) >= 0 ? ErrorCode.CoordinatorNotAvailable : null;
        await SendAsync(2, "a");
        await using var consumer = Consume();
        Assert.Equal(["a"], await ReadAsync(consumer, 1));
    }

    [Fact]
    public async Task Cut_off_for_a_session_it_hands_out_nothing_more()
    {
        Groups.FirstAssignment = [All(0)];
        var heard = new Heard();
        await using var consumer = Consume(Options(heard) with { Reader = new ReaderOptions { TimeProvider = Clock },
            SessionTimeout = TimeSpan.FromSeconds(45), AutoCommit = false });
        var silence = await CutOffAsync(consumer, session: TimeSpan.FromSeconds(45));

        await Assert.ThrowsAsync<CommitFencedException>(() => consumer.CommitAsync([new TopicPartitionOffset(P(0), 2)]).SoonAsync());
        await Wait.UntilAsync(() => heard.All.Contains("lost 0"), "it is lost");
        silence.SetResult();
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);
    }

    // Until a second before the end of its session it hands out what it holds, a second after it nothing.
    private async Task<TaskCompletionSource> CutOffAsync(IConsumer<string, string> consumer, TimeSpan session)
    {
        await SendAsync(0, "a", "b", "c");
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);
        await Wait.UntilAsync(() => Groups.Heartbeats[^1].MaxWait > TimeSpan.Zero, "the long poll");

        var silence = new TaskCompletionSource();
        Groups.Silence = silence.Task;
        Clock.Advance(session - TimeSpan.FromSeconds(1));
        Assert.Equal("b", (await consumer.ReadAsync().SoonAsync()).Value);
        Clock.Advance(TimeSpan.FromSeconds(2));

        Assert.Null(await consumer.ReadAsync(TimeSpan.Zero));
        return silence;
    }

    [Fact]
    public async Task A_session_that_is_shorter_at_the_coordinator_is_the_consumers_too()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.Session = TimeSpan.FromSeconds(10);
        var heard = new Heard();
        await using var consumer = Consume(Options(heard) with { Reader = new ReaderOptions { TimeProvider = Clock },
            SessionTimeout = TimeSpan.FromSeconds(45), AutoCommit = false });
        var silence = await CutOffAsync(consumer, session: TimeSpan.FromSeconds(10));

        await Wait.UntilAsync(() => heard.All.Contains("lost 0"), "it is lost");
        silence.SetResult();
    }

    [Fact]
    public async Task Heartbeats_are_numbered_and_say_what_is_held()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.Interval = TimeSpan.FromMilliseconds(2);
        await using var consumer = Consume(Options(new Heard()));
        await Wait.UntilAsync(() => Groups.Heartbeats.Count(beat => beat.OwnedPartitions is [{ Partitions: [0] }]) > 3,
            "heartbeats that say what is held");
        var beats = Groups.Heartbeats;
        Assert.Equal(beats.Select((_, number) => number + 1L), beats.Select(beat => beat.Sequence));
    }

    [Fact]
    public async Task However_slow_a_record_is_heartbeats_go_on()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.Interval = TimeSpan.FromMilliseconds(2);
        await SendAsync(0, "slow", "next");
        var heard = new Heard();
        await using var consumer = Consume(Options(heard));
        Assert.Equal("slow", (await consumer.ReadAsync().SoonAsync()).Value);
        var before = Groups.Heartbeats.Count;
        Groups.OnHeartbeat = request => request.MaxWait > TimeSpan.Zero ? ErrorCode.CoordinatorLoadInProgress : null;
        Groups.Assign(Groups.Members[0], All(0));
        await Wait.UntilAsync(() => Groups.Heartbeats.Count > before + 20, "heartbeats while the application does not ask");
        Assert.Equal("next", (await consumer.ReadAsync().SoonAsync()).Value);
        Assert.Equal(["assigned 0"], heard.All);
    }

    [Fact]
    public async Task A_seek_while_it_is_assigned_decides_where_it_starts()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.SetCommitted(P(0), 1);
        await SendAsync(0, "a", "b", "c");
        var heard = new Heard { OnAssigned = (consumer, _) => { consumer.Seek(P(0), ReadFrom.Offset(2)); return Task.CompletedTask; } };
        await using var consumer = Consume(Options(heard));
        Assert.Equal("c", (await consumer.ReadAsync().SoonAsync()).Value);
    }

    [Fact]
    public async Task It_starts_where_the_group_committed()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.SetCommitted(P(0), 1);
        await SendAsync(0, "a", "b");
        await using var consumer = Consume();
        Assert.Equal("b", (await consumer.ReadAsync().SoonAsync()).Value);
    }

    [Fact]
    public async Task Where_nothing_is_committed_and_nothing_may_be_assumed_the_application_decides()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        await using var consumer = Consume(Options() with { AutoOffsetReset = AutoOffsetReset.Fail });
        var failure = await Assert.ThrowsAsync<NoCommittedOffsetException>(() => consumer.ReadAsync().SoonAsync());
        Assert.Equal(P(0), failure.Partition);
        consumer.Seek(P(0), ReadFrom.Offset(1));
        Assert.Equal("b", (await consumer.ReadAsync().SoonAsync()).Value);
    }

    [Fact]
    public async Task An_offset_that_is_gone_is_never_jumped_over_in_silence()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.SetCommitted(P(0), 1);
        await SendAsync(0, "a", "b", "c");
        await Broker.DeleteRecordsAsync(P(0), 2);
        await using (var consumer = Consume())
        {
            var gone = await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => consumer.ReadAsync().SoonAsync());
            Assert.Equal((1L, 2L), (gone.Offset, gone.LogStartOffset));
        }
        OffsetOutOfRangeException? heard = null;
        await using (var consumer = Consume(Options() with { OutOfRange = e => { heard = e; return ReadFrom.Offset(e.LogStartOffset); } }))
            Assert.Equal("c", (await consumer.ReadAsync().SoonAsync()).Value);
        Assert.Equal(1, heard?.Offset);
    }

    [Fact]
    public async Task A_paused_partition_waits_and_others_do_not()
    {
        Groups.FirstAssignment = [All(0, 1)];
        await SendAsync(0, "a", "b");
        await using var consumer = Consume();
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);
        consumer.Pause(P(0));
        Assert.Equal([P(0)], consumer.Paused);
        await SendAsync(1, "c");
        Assert.Equal("c", (await consumer.ReadAsync().SoonAsync()).Value);
        Assert.Null(await consumer.ReadAsync(TimeSpan.Zero));
        var next = consumer.ReadAsync().AsTask();
        consumer.Resume(P(0));
        Assert.Equal("b", (await next.SoonAsync()).Value);
    }

    [Fact]
    public async Task A_refusal_for_good_reaches_the_reader_and_a_new_subscription_starts_anew()
    {
        Groups.OnHeartbeat = _ => ErrorCode.GroupMaxSizeReached;
        await SendAsync(0, "a");
        await using var consumer = Consume();
        var refused = await Assert.ThrowsAsync<ConsumerGroupException>(() => consumer.ReadAsync().SoonAsync());
        Assert.Equal(ErrorCode.GroupMaxSizeReached, refused.Code);
        Groups.OnHeartbeat = _ => null;
        consumer.Subscribe(Topic);
        Assert.Equal(["a"], await ReadAsync(consumer, 1));
    }

    [Fact]
    public async Task A_static_member_leaves_for_now_when_it_closes_and_for_good_when_it_unsubscribes()
    {
        var options = Options() with { GroupInstanceId = "till 3", Rack = "r1", ServerAssignor = "range" };
        await using (var consumer = Consume(options))
            await MemberAsync();
        Assert.Equal(ConsumerGroupHeartbeat.LeaveForNowEpoch, Groups.Heartbeats[^1].MemberEpoch);
        var join = Groups.Heartbeats[0];
        Assert.Equal(("till 3", "r1", "range"), (join.InstanceId, join.RackId, join.ServerAssignor));

        await using var again = Consume(options);
        await MemberAsync();
        await again.UnsubscribeAsync().SoonAsync();
        Assert.Equal(ConsumerGroupHeartbeat.LeaveEpoch, Groups.Heartbeats[^1].MemberEpoch);
        Assert.Empty(again.Assignment);
    }

    [Fact]
    public async Task A_changed_subscription_is_told_at_once()
    {
        await using var consumer = Consume();
        await Wait.UntilAsync(() => Groups.Heartbeats is [.., { MaxWait.Ticks: > 0 }], "the long poll");
        consumer.SubscribePattern("or.*");
        await Wait.UntilAsync(() => Groups.Heartbeats.Any(beat => beat.SubscribedTopicRegex == "or.*" && beat.MemberEpoch > 0),
            "the coordinator hears of it");
    }

    [Fact]
    public async Task Closing_ends_an_enumeration_quietly_and_reading_with_an_exception()
    {
        await SendAsync(0, "a");
        var consumer = Consume();
        // Who asks for the next record is done with the one before.
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var reading = Task.Run(async () =>
        {
            await using var records = consumer.GetAsyncEnumerator();
            Assert.True(await records.MoveNextAsync());
            var next = records.MoveNextAsync();
            asked.SetResult();
            Assert.False(await next);
        });
        await asked.Task.SoonAsync();
        await consumer.CloseAsync().SoonAsync();
        await reading.SoonAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => consumer.ReadAsync().SoonAsync());
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task A_drain_ends_with_its_deadline()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.Interval = TimeSpan.FromHours(1);
        await SendAsync(0, "a", "stuck");
        var heard = new Heard();
        await using var consumer = Consume(Options(heard) with { SessionTimeout = TimeSpan.FromHours(2),
            AutoCommitInterval = TimeSpan.FromHours(1), Reader = new ReaderOptions { TimeProvider = Clock } });
        await ReadAsync(consumer, 2);
        Groups.Assign(await MemberAsync());
        await Wait.UntilAsync(() => Clock.ArmedTimers.Contains(TimeSpan.FromSeconds(20)), "the drain");
        Clock.Advance(TimeSpan.FromSeconds(20));
        await Wait.UntilAsync(() => heard.All.Contains("revoked 0"), "it is given up");
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Options_that_contradict_each_other_are_refused_by_name()
    {
        var refused = Assert.Throws<ArgumentException>(() =>
            Client.CreateConsumer<string, string>(new() { AutoOffsetReset = default, GroupId = "g" }));
        Assert.Contains("AutoOffsetReset", refused.Message, StringComparison.Ordinal);
        await using var consumer = Client.CreateConsumer<string, string>(new() { AutoOffsetReset = AutoOffsetReset.Earliest });
        Assert.Contains("GroupId", Assert.Throws<InvalidOperationException>(() => consumer.Subscribe(Topic)).Message,
            StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(() => consumer.CommitAsync());
    }
}
