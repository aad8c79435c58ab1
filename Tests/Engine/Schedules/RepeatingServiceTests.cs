using OrleansMq.Diagnostics;
using OrleansMq.Schedules;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>Schedules that repeat, each step by itself.</summary>
public sealed class RepeatingServiceTests
{
    private static readonly ScheduleTarget Target = new(Guid.NewGuid(), 0);
    private static readonly Guid Id = Guid.NewGuid();

    [Fact]
    public void Next_firing_is_in_the_batch_that_decides_one()
    {
        var rig = Begin();
        rig.Now = 1_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Do<AppendScheduleRecords>();
        var batch = rig.Batches[^1];
        Assert.Equal([ScheduleRecords.Intent, ScheduleRecords.Sequence, ScheduleRecords.Scheduled], batch.Select(record => record.Key[0]));
        Assert.Equal(At(2_000), ScheduleRecords.ReadHandle(batch[2].Key));
        Assert.Equal((At(1_000), 7), (batch[2].Copied!.Value.Timer.Handle, batch[2].Copied!.Value.Bytes));
        Assert.True(rig.State.Timers.TryFind(Id, out var next));
        Assert.Equal((At(2_000), 3L, 5L), (next.Handle, next.Reference, next.Content));
        Assert.Equal(1, rig.State.Timers.Topics.CountOf(Target.TopicId));
        rig.DoAll();
        Assert.Equal(At(1_000), Assert.Single(rig.Published).Timer.Handle);
        Assert.Equal(2_000, rig.Wake!.DueAt);
    }

    [Fact]
    public void State_of_the_log_is_that_of_the_leader()
    {
        var rig = Begin();
        for (rig.Now = 1_000; rig.Now <= 5_000; rig.Now += 1_000)
        {
            rig.Tick();
            rig.DoAll();
        }
        Assert.Equal(5, rig.Published.Count);
        var state = new ScheduleState(new TimerWheel(new MemoryTimerBuckets(), long.MaxValue / 4, 0));
        var offset = 0;
        // In the log a copy has the value of the record that it copies.
        foreach (var record in rig.Batches.SelectMany(batch => batch))
            state.Apply(offset++, record.Copied is null ? record : new(record.Key, ScheduleRig.Value(5, Target.TopicId)));
        Assert.Equal(rig.State.Timers.All(), state.Timers.All());
        Assert.Equal(At(6_000), Assert.Single(state.Timers.All()).Handle);
        Assert.Equal(rig.State.Appended, state.Appended);
        Assert.Equal(rig.State.Fired, state.Fired);
        Assert.Equal(5, rig.State.Appended.Count + rig.State.Fired.Count);
        Assert.False(state.IsIntended(Id));
    }

    [Fact]
    public void Missed_firings_become_one()
    {
        var rig = Begin();
        rig.Now = 7_500;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(At(1_000), Assert.Single(rig.Published).Timer.Handle);
        Assert.Equal(8_000, rig.Wake!.DueAt);
    }

    [Fact]
    public void Firing_waits_for_an_earlier_one_that_is_being_delivered_and_those_missed_meanwhile_become_one()
    {
        var rig = Begin();
        rig.Now = 1_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Do<AppendScheduleRecords>();
        // The target does not answer for nine seconds.
        for (rig.Now = 2_000; rig.Now < 10_000; rig.Now += 1_000)
            rig.Tick();
        rig.Do<ReadScheduleTargets>();
        Assert.True(rig.State.IsIntended(Id));
        Assert.Single(rig.Batches.SelectMany(batch => batch), record => record.Key[0] == ScheduleRecords.Intent);
        rig.Now = 10_500;
        rig.DoAll();
        Assert.Equal([At(1_000), At(2_000)], rig.Published.Select(one => one.Timer.Handle));
        Assert.Equal(11_000, rig.Wake!.DueAt);
        rig.Now = 11_000;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(At(11_000), rig.Published[^1].Timer.Handle);
        Assert.Equal(3, rig.Published.Count);
    }

    [Fact]
    public void Cancellation_while_a_firing_is_decided_ends_the_schedule()
    {
        var rig = Begin();
        rig.Now = 1_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Cancel(At(1_000));
        rig.DoAll();
        Assert.Equal(ScheduleOutcome.Cancelled, rig.Answer);
        Assert.Equal(0, rig.State.Timers.InMemory);
        rig.Now = 100_000;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(At(1_000), Assert.Single(rig.Published).Timer.Handle);
    }

    [Fact]
    public void Schedule_that_is_cancelled_and_created_again_while_a_firing_is_decided_goes_on()
    {
        var rig = Begin();
        rig.Now = 1_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Cancel(At(1_000));
        rig.Create(At(1_000), 5, Target.TopicId);
        rig.DoAll();
        Assert.Equal(ScheduleOutcome.Scheduled, rig.Answer);
        Assert.Equal(At(2_000), Assert.Single(rig.State.Timers.All()).Handle);
        Assert.Single(rig.Published);
    }

    [Fact]
    public void Cancellation_behind_a_firing_that_is_being_delivered_ends_the_schedule()
    {
        var rig = Begin();
        rig.Now = 1_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Do<AppendScheduleRecords>();
        rig.Now = 2_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        // The next firing is due, and waits.
        rig.Cancel(At(2_000));
        rig.DoAll();
        Assert.Equal(ScheduleOutcome.Cancelled, rig.Answer);
        rig.Now = 100_000;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(At(1_000), Assert.Single(rig.Published).Timer.Handle);
        Assert.Equal(0, rig.State.Timers.InMemory);
    }

    [Fact]
    public void Firing_that_its_topic_refuses_takes_the_place_of_the_next_one()
    {
        var rig = Begin();
        (rig.Repeats, rig.Refuses) = (true, _ => true);
        rig.Now = 1_000;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(At(1_000), Assert.Single(rig.State.Timers.All()).Handle);
        Assert.True(rig.State.IsRepeating(Id));
        // What is missed meanwhile becomes one with it.
        rig.Now = 5_500;
        rig.Refuses = _ => false;
        rig.Elapsed = rig.Wake!.RetryAt;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(At(1_000), Assert.Single(rig.Published).Timer.Handle);
        Assert.Equal(At(6_000), Assert.Single(rig.State.Timers.All()).Handle);
        Assert.Equal(0, rig.Dropped);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Schedule_whose_firing_is_refused_ends_with_its_cancellation(bool isTakenBack)
    {
        var rig = Begin();
        (rig.Repeats, rig.Refuses) = (true, _ => true);
        rig.Now = 1_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Do<AppendScheduleRecords>();
        if (isTakenBack)
            rig.Do<PublishIntent>();
        Assert.True(rig.TryFind(Id, out var next, out _));
        Assert.Equal(At(2_000), next);
        // The same request again is the same schedule.
        rig.Create(next, 5, Target.TopicId);
        Assert.Equal(ScheduleOutcome.Scheduled, rig.Answer);
        rig.Cancel(next);
        rig.DoAll();
        Assert.Equal(ScheduleOutcome.Cancelled, rig.Answer);
        Assert.Equal((0, isTakenBack ? 0L : 1), (rig.State.Timers.InMemory, rig.Dropped));
        Assert.False(rig.State.IsRepeating(Id));
        rig.Refuses = _ => false;
        (rig.Now, rig.Elapsed) = (100_000, 100_000);
        rig.Tick();
        rig.DoAll();
        Assert.Empty(rig.Published);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Schedule_that_is_cancelled_and_made_again_while_its_next_firing_is_taken_back_begins_with_that(bool isCancelledAgain)
    {
        var rig = Begin();
        (rig.Repeats, rig.Refuses) = (true, _ => true);
        rig.Now = 1_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Do<AppendScheduleRecords>();
        rig.Do<PublishIntent>();
        rig.Cancel(At(2_000));
        rig.Create(At(2_000), 5, Target.TopicId);
        if (isCancelledAgain)
            rig.Cancel(At(2_000));
        rig.DoAll();
        Assert.Equal(isCancelledAgain ? ScheduleOutcome.Cancelled : ScheduleOutcome.Scheduled, rig.Answer);
        Assert.Equal(isCancelledAgain ? [] : [At(2_000)], rig.State.Timers.All().Select(timer => timer.Handle));
        rig.Refuses = _ => false;
        (rig.Now, rig.Elapsed) = (2_000, 100_000);
        rig.Tick();
        rig.DoAll();
        Assert.Equal(isCancelledAgain ? [] : [At(2_000)], rig.Published.Select(one => one.Timer.Handle));
    }

    [Fact]
    public void Firing_whose_topic_is_gone_is_the_last()
    {
        var rig = Begin();
        rig.TargetOf = _ => new FoundTarget(Target.TopicId, null) { NextDue = 2_000 };
        rig.Now = 1_000;
        rig.Tick();
        rig.DoAll();
        Assert.Empty(rig.Published);
        Assert.Equal((0, 1L), (rig.State.Timers.InMemory, rig.Dropped));
    }

    [Theory]
    [InlineData(1_000)]
    [InlineData(999)]
    public void Next_firing_that_is_not_later_is_refused_before_it_is_written(long next)
    {
        var rig = Begin();
        rig.TargetOf = _ => new FoundTarget(Target.TopicId, Target, 7) { NextDue = next };
        rig.Now = 1_000;
        rig.Tick();
        Assert.Throws<InvariantViolationException>(rig.Do<ReadScheduleTargets>);
        Assert.Single(rig.Batches);
    }

    [Fact]
    public void Record_that_is_created_behind_a_cancellation_is_found_and_the_cancelled_one_is_ending()
    {
        var rig = Begin();
        Assert.Equal((At(1_000), false), Find(rig));
        rig.Cancel(At(1_000));
        Assert.Equal((At(1_000), true), Find(rig));
        rig.Create(At(9_000), 6, Target.TopicId);
        Assert.Equal((At(9_000), false), Find(rig));
        rig.Cancel(At(9_000));
        Assert.Equal((At(9_000), true), Find(rig));
        rig.Create(At(8_000), 7, Target.TopicId);
        rig.DoAll();
        Assert.Equal((At(8_000), false), Find(rig));
        Assert.Equal(At(8_000), Assert.Single(rig.State.Timers.All()).Handle);
    }

    [Fact]
    public void Record_that_is_found_while_a_firing_is_decided_and_cancelled_is_the_next_one()
    {
        var rig = Begin();
        rig.Now = 1_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Cancel(At(1_000));
        Assert.Equal((At(2_000), true), Find(rig));
        Assert.True(rig.IsIntended(At(1_000)));
        rig.Create(At(7_000), 6, Target.TopicId);
        rig.DoAll();
        Assert.Equal(At(7_000), Assert.Single(rig.State.Timers.All()).Handle);
        Assert.Equal((At(7_000), false), Find(rig));
    }

    // More records of an unknown zone than a read takes, in front of one that is published once.
    [Fact]
    public void Records_of_an_unknown_zone_do_not_keep_others_of_their_topic_from_being_published()
    {
        var rig = new ScheduleRig(new ScheduleOptions { RecordsPerIntent = 10 });
        var reads = 0;
        rig.TargetOf = timer =>
        {
            Assert.True(++reads < 1_000, "The records are read again and again.");
            return timer.Handle.Due == 1_000 ? new FoundTarget(Target.TopicId, null) { IsUnknown = true, Zone = "Mars/Olympus" }
                : new FoundTarget(Target.TopicId, Target);
        };
        for (var i = 0; i < 10; i++)
            rig.Create(new ScheduleHandle(1_000, Guid.NewGuid()), topicId: Target.TopicId);
        rig.Create(At(2_000), topicId: Target.TopicId);
        rig.DoAll();
        rig.Now = 2_000;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(At(2_000), Assert.Single(rig.Published).Timer.Handle);
        Assert.Equal(11, reads);
        // The zone is known again.
        rig.TargetOf = _ => new FoundTarget(Target.TopicId, Target) { Zone = "Mars/Olympus" };
        rig.Elapsed = rig.Wake!.RetryAt;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(11, rig.Published.Count);
    }

    [Fact]
    public void Batch_is_closed_by_the_bytes_of_copies()
    {
        var rig = new ScheduleRig(new ScheduleOptions { BytesPerBatch = 1_000, RecordsPerIntent = 1, IntentsPerTarget = 100 });
        rig.TargetOf = timer => new FoundTarget(Target.TopicId, Target, 600) { NextDue = timer.Handle.Due + 1_000 };
        for (var i = 0; i < 10; i++)
            rig.Create(new ScheduleHandle(1_000, Guid.NewGuid()), topicId: Target.TopicId);
        rig.DoAll();
        rig.Now = 1_000;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(10, rig.Published.Count);
        Assert.All(rig.Batches, batch => Assert.InRange(batch.Count(record => record.Copied is not null), 0, 2));
    }

    [Fact]
    public void Firings_that_are_remembered_do_not_shorten_the_time_of_other_records()
    {
        var rig = Begin(new ScheduleOptions { MostRemembered = 3, MostFiringsRemembered = 2 });
        var once = new ScheduleHandle(1_000, Guid.NewGuid());
        rig.Create(once, 5, Target.TopicId);
        var repeats = rig.TargetOf;
        rig.TargetOf = timer => timer.Handle == once ? new FoundTarget(Target.TopicId, Target, 7) : repeats(timer);
        for (rig.Now = 1_000; rig.Now <= 20_000; rig.Now += 1_000)
        {
            rig.Tick();
            rig.DoAll();
        }
        Assert.Equal(21, rig.Published.Count);
        Assert.True(rig.State.IsAppended(once));
        Assert.Equal([At(19_000), At(20_000)], rig.State.Fired.Select(static fired => fired.Handle));
        Assert.False(rig.State.IsAppended(At(18_000)));
    }

    // A schedule of every second, from the first on.
    private static ScheduleRig Begin(ScheduleOptions? options = null)
    {
        var rig = new ScheduleRig(options ?? new ScheduleOptions());
        rig.TargetOf = timer => new FoundTarget(Target.TopicId, Target, 7)
        {
            NextDue = Math.Max(rig.Now, timer.Handle.Due) / 1_000 * 1_000 + 1_000,
        };
        rig.Create(At(1_000), 5, Target.TopicId);
        rig.DoAll();
        return rig;
    }

    private static (ScheduleHandle Handle, bool IsEnding) Find(ScheduleRig rig) =>
        rig.TryFind(Id, out var handle, out var isEnding) ? (handle, isEnding) : default;

    private static ScheduleHandle At(long due) => new(due, Id);
}
