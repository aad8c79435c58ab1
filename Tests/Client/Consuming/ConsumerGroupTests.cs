using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A consumer as a group member: what it hands out, revokes and loses, and its requests to a scripted coordinator.</summary>
public sealed class ConsumerGroupTests : ConsumerFixture
{
    [Fact]
    public async Task Member_reads_its_assignment_and_commits_processed_records()
    {
        await SendAsync(0, "a", "b");
        await SendAsync(3, "c");
        await using (var consumer = Consume())
        {
            Assert.Equal(["a", "b", "c"], (await ReadAsync(consumer, 3)).Order());
            Assert.Null(await consumer.ReadAsync(TimeSpan.Zero)); // The next request marks all three as processed.
            Assert.Equal(4, consumer.Assignment.Count);
        }
        Assert.Equal(2, Groups.Committed(P(0)));
        Assert.Equal(1, Groups.Committed(P(3)));
        Assert.Empty(Groups.Members);
    }

    [Fact]
    public async Task Record_handed_out_counts_as_processed_when_the_next_is_requested()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        await using (var consumer = Consume())
            Assert.Equal(["a", "b"], await ReadAsync(consumer, 2));
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Manual_commit_includes_the_last_record()
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
    public async Task Commit_of_one_record_carries_its_epoch_and_metadata()
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
    public async Task Close_commits_nothing_below_a_record_that_was_committed_by_hand()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        await using (var consumer = Consume())
        {
            await consumer.ReadAsync().SoonAsync();
            await consumer.CommitAsync(await consumer.ReadAsync().SoonAsync()).SoonAsync();
        }
        Assert.Equal(2, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Background_commit_invokes_its_callback()
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
    public async Task Auto_commit_runs_by_the_clock_and_covers_a_looked_up_start()
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
            Clock.Advance(TimeSpan.FromSeconds(5)); // Again, if the background task had not armed its timer yet.
            return Groups.Committed(P(0)) == 1 && Groups.Committed(P(1)) == 0;
        }, "the offsets are committed");
    }

    [Fact]
    public async Task Auto_commit_survives_an_unexpected_exception()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.Interval = TimeSpan.FromHours(1);
        var failures = 0;
        Groups.OnCommit = _ => Interlocked.Increment(ref failures) == 1 ? throw new InvalidOperationException("unexpected") : null;
        await SendAsync(0, "a", "b");
        await using var consumer = Consume(Options() with { AutoCommitInterval = TimeSpan.FromSeconds(5),
            SessionTimeout = TimeSpan.FromDays(365), Reader = new ReaderOptions { TimeProvider = Clock } });
        await ReadAsync(consumer, 2);
        await Wait.UntilAsync(() =>
        {
            Clock.Advance(TimeSpan.FromSeconds(5)); // Again, if the background task had not armed its timer yet.
            return Groups.Committed(P(0)) == 1;
        }, "a later commit");
        Assert.Contains(Log.At(LogLevel.Warning), static line => line.Contains("unexpected", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Close_whose_leaving_throws_ends_the_auto_commit()
    {
        Groups.Interval = TimeSpan.FromHours(1);
        Groups.OnHeartbeat = static request => request.MemberEpoch < 0 ? throw new InvalidOperationException("unexpected") : null;
        var interval = TimeSpan.FromMinutes(7);
        var consumer = Consume(Options() with { AutoCommitInterval = interval, Reader = new ReaderOptions { TimeProvider = Clock } });
        await Wait.UntilAsync(() => consumer.Assignment.Count == 4 && Clock.ArmedTimers.Contains(interval), "the assignment");
        await Assert.ThrowsAsync<InvalidOperationException>(() => consumer.CloseAsync().SoonAsync());
        Assert.DoesNotContain(interval, Clock.ArmedTimers);
    }

    [Fact]
    public async Task Revoked_partition_is_committed_after_the_record_in_flight()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b");
        var heard = new Heard();
        await using var consumer = Consume(Options(heard));
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);

        Groups.Assign(await MemberAsync());
        await Wait.UntilAsync(() => Groups.Heartbeats[^1].MemberEpoch == 2, "the member hears of it");
        Assert.DoesNotContain("revoked 0", heard.All);

        Assert.Null(await consumer.ReadAsync(TimeSpan.Zero)); // "a" is processed; "b" belongs to another member.
        await Wait.UntilAsync(() => Groups.Owned(Groups.Members[0]) is { Count: 0 }, "it is given up");
        Assert.Equal(["assigned 0", "revoked 0"], heard.All);
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Retained_partitions_are_read_during_a_revocation()
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
    public async Task Superseded_target_assignment_adds_no_partition()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.Interval = TimeSpan.FromMilliseconds(2);
        var mayGo = new TaskCompletionSource();
        var heard = new Heard { OnRevoked = (_, _) => mayGo.Task };
        await using (var consumer = Consume(Options(heard)))
        {
            await Wait.UntilAsync(() => heard.All.Count == 1, "the first assignment");
            Groups.Assign(await MemberAsync(), All(1));
            await Wait.UntilAsync(() => Groups.Heartbeats[^1].OwnedPartitions is [{ Partitions: [0, 1] }], "it will take partition 1");
            Groups.Assign(Groups.Members[0], All(2));
            await Wait.UntilAsync(() => Groups.Heartbeats[^1].OwnedPartitions is [{ Partitions: [0, 2] }], "it will not take partition 1");
            mayGo.SetResult();
            await Wait.UntilAsync(() => heard.All.Contains("assigned 2"), "the second assignment");
        }
        Assert.Equal(["assigned 0", "revoked 0", "assigned 2", "revoked 2"], heard.All);
    }

    [Fact]
    public async Task Lost_partitions_are_not_committed_and_the_member_rejoins()
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
    public async Task Fenced_commit_reports_the_fencing()
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
    public async Task Commit_is_retried_while_the_coordinator_moves()
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
    public async Task Heartbeats_survive_an_unavailable_coordinator()
    {
        var refusals = 5;
        Groups.OnHeartbeat = _ => Interlocked.Decrement(ref refusals) >= 0 ? ErrorCode.CoordinatorNotAvailable : null;
        await SendAsync(2, "a");
        await using var consumer = Consume();
        Assert.Equal(["a"], await ReadAsync(consumer, 1));
    }

    [Fact]
    public async Task Consumer_without_coordinator_for_a_session_hands_out_no_records()
    {
        Groups.FirstAssignment = [All(0)];
        var heard = new Heard();
        // A static member: the session of a dynamic one is shorter once its long poll was not answered.
        await using var consumer = Consume(Options(heard) with { Reader = new ReaderOptions { TimeProvider = Clock },
            GroupInstanceId = "static", SessionTimeout = TimeSpan.FromSeconds(45), AutoCommit = false });
        var silence = await CutOffAsync(consumer, session: TimeSpan.FromSeconds(45));

        await Assert.ThrowsAsync<CommitFencedException>(() => consumer.CommitAsync([new TopicPartitionOffset(P(0), 2)]).SoonAsync());
        await Wait.UntilAsync(() => heard.All.Contains("lost 0"), "it is lost");
        silence.SetResult();
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);
    }

    [Fact]
    public async Task Consumer_whose_long_poll_is_not_answered_hands_out_records_for_the_grace_of_the_coordinator()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a", "b", "c");
        await using var consumer = Consume(Options() with { Reader = new ReaderOptions { TimeProvider = Clock },
            SessionTimeout = TimeSpan.FromSeconds(45), AutoCommit = false });
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);
        await Wait.UntilAsync(() => Groups.Heartbeats[^1].MaxWait > TimeSpan.Zero, "the long poll");
        Groups.Silence = new TaskCompletionSource().Task;
        Clock.Advance(TimeSpan.FromSeconds(16)); // The poll's wait, and the time limit of an answer.
        await Wait.UntilAsync(() => Log.At(LogLevel.Warning).Any(static line => line.Contains("RequestTimedOut", StringComparison.Ordinal)),
            "the end of the poll");
        Clock.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal("b", (await consumer.ReadAsync().SoonAsync()).Value);
        Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Null(await consumer.ReadAsync(TimeSpan.Zero));
    }

    // Until a second before its session ends the consumer hands out buffered records, a second after it none.
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
    public async Task Shorter_session_of_the_coordinator_applies_to_the_consumer()
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
    public async Task Heartbeats_are_numbered_and_report_owned_partitions()
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
    public async Task Heartbeats_continue_during_a_slow_record()
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
    public async Task Seek_during_assignment_decides_the_start()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.SetCommitted(P(0), 1);
        await SendAsync(0, "a", "b", "c");
        var heard = new Heard { OnAssigned = (consumer, _) => { consumer.Seek(P(0), ReadFrom.Offset(2)); return Task.CompletedTask; } };
        await using var consumer = Consume(Options(heard));
        Assert.Equal("c", (await consumer.ReadAsync().SoonAsync()).Value);
    }

    [Fact]
    public async Task Consumer_starts_at_the_committed_offset()
    {
        Groups.FirstAssignment = [All(0)];
        Groups.SetCommitted(P(0), 1);
        await SendAsync(0, "a", "b");
        await using var consumer = Consume();
        Assert.Equal("b", (await consumer.ReadAsync().SoonAsync()).Value);
    }

    [Fact]
    public async Task Consumer_without_committed_offset_and_reset_policy_asks_the_application()
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
    public async Task Offset_out_of_range_is_never_skipped_silently()
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
    public async Task Paused_partition_waits_while_others_are_read()
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
    public async Task Permanent_refusal_reaches_the_reader_and_a_new_subscription_rejoins()
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
    public async Task Static_member_leaves_temporarily_on_close_and_permanently_on_unsubscribe()
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
    public async Task Changed_subscription_is_sent_at_once()
    {
        await using var consumer = Consume();
        await Wait.UntilAsync(() => Groups.Heartbeats is [.., { MaxWait.Ticks: > 0 }], "the long poll");
        consumer.SubscribePattern("or.*");
        await Wait.UntilAsync(() => Groups.Heartbeats.Any(beat => beat.SubscribedTopicRegex == "or.*" && beat.MemberEpoch > 0),
            "the coordinator hears of it");
    }

    [Fact]
    public async Task Close_ends_an_enumeration_quietly_and_a_read_with_an_exception()
    {
        await SendAsync(0, "a");
        var consumer = Consume();
        // A request for the next record marks the previous one as processed.
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
    public async Task Equal_failures_of_heartbeats_are_logged_once_and_counted()
    {
        var failures = 0;
        Groups.FirstAssignment = [All(0)];
        Groups.OnHeartbeat = _ => Interlocked.Increment(ref failures) <= 20 ? ErrorCode.CoordinatorNotAvailable : null;
        await using var consumer = Consume();
        await Wait.UntilAsync(() => consumer.Assignment.Count == 1, "the assignment");
        await Wait.UntilAsync(() => Log.At(LogLevel.Information).Any(line => line.Contains("20", StringComparison.Ordinal)), "the count");
        Assert.Single(Log.At(LogLevel.Warning), line => line.Contains("CoordinatorNotAvailable", StringComparison.Ordinal));
    }

    [Fact]
    public async Task First_join_takes_an_instance_over_and_later_ones_do_not()
    {
        Groups.FirstAssignment = [All(0)];
        await using var consumer = Consume(Options() with { GroupInstanceId = "till 3" });
        await Wait.UntilAsync(() => consumer.Assignment.Count == 1, "the assignment");
        Groups.OnHeartbeat = beat => beat.MemberEpoch == 0 ? ErrorCode.UnreleasedInstanceId : null;
        Groups.ForgetMembers();
        await Assert.ThrowsAsync<ConsumerGroupException>(() => consumer.ReadAsync().SoonAsync());
        Assert.Equal([true, false], Groups.Heartbeats.Where(beat => beat.MemberEpoch == 0).Select(beat => beat.TakesOverInstance));
    }

    [Fact]
    public async Task Drain_ends_at_its_deadline()
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
    public async Task Contradictory_options_are_refused_by_name()
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
