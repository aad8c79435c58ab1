using OrleansMq.Schedules;

namespace OrleansMq.Tests.Engine.Schedules;

public sealed class ScheduleServiceTests
{
    private static readonly ScheduleTarget Target = new(Guid.NewGuid(), 0);
    private static readonly FoundTarget Found = new(Target.TopicId, Target);

    [Fact]
    public void Fifty_thousand_records_of_one_second_are_delivered_within_it()
    {
        const int Count = 50_000;
        var log = new List<ScheduleRecord>();
        var state = new ScheduleState(new TimerWheel(new MemoryTimerBuckets(), 60_000, 0));
        var service = new ScheduleService(state, new ScheduleOptions(), ScheduleRules.Shipped, origin: 1);
        var commands = new Queue<ScheduleCommand>();
        var delivered = new List<ScheduledTimer>();
        Do(service.Begin(default));
        for (var i = 0; i < Count; i++)
            Process(new ScheduleRequest(i + 1, new ScheduleHandle(1_000 + i % 1_000, Guid.NewGuid()),
                ScheduleRig.Value(0)), 0);
        Assert.Empty(delivered);

        var watch = System.Diagnostics.Stopwatch.StartNew();
        Process(new ScheduleTick(), 2_000);
        Assert.Equal(Count, delivered.Count);
        Assert.Equal(delivered.OrderBy(timer => timer.Handle), delivered);
        Assert.Equal(0, service.State.Timers.InMemory);
        Assert.Empty(service.State.Targets);
        Assert.Equal(Count, service.State.NextSequence(Target));
        // An idle machine takes a small part of it; an algorithm of the wrong complexity takes minutes.
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"took {watch.Elapsed}");

        void Process(ScheduleCommand command, long now)
        {
            commands.Enqueue(command);
            while (commands.TryDequeue(out var next))
                Do(service.Process(next, new ScheduleTime(now, now)));
        }

        void Do(IReadOnlyList<ScheduleEffect> effects)
        {
            foreach (var effect in effects)
            {
                switch (effect)
                {
                    case AppendScheduleRecords append:
                        log.AddRange(append.Records);
                        commands.Enqueue(new ScheduleRecordsInForce(append.Number, log.Count - append.Records.Count));
                        break;
                    case ReadScheduleTargets read:
                        commands.Enqueue(new ScheduleTargetsRead(read.Number, [.. read.Timers.Select(_ => Found)]));
                        break;
                    case PublishIntent publish:
                        delivered.AddRange(publish.Intent.Timers);
                        commands.Enqueue(new IntentAnswered(Target, publish.Intent.FirstSequence, PublishOutcome.Published));
                        break;
                }
            }
        }
    }

    [Fact]
    public void Records_of_a_topic_that_is_surely_gone_are_removed_some_in_each_turn()
    {
        var rig = new ScheduleRig(new ScheduleOptions { SweepMs = 1_000, RecordsPerSweep = 10 });
        Guid[] topics = [Guid.NewGuid(), Guid.NewGuid(), Guid.NewGuid()];
        for (var i = 0; i < 120; i++)
            rig.Create(new ScheduleHandle(1_000_000 + i, Guid.NewGuid()), topicId: topics[i % 3]);
        rig.DoAll();
        // A list is behind: the second topic exists.
        rig.Missing.UnionWith(topics[..2]);
        rig.Gone.Add(topics[0]);
        Assert.Equal(1_000, rig.Wake!.RetryAt);
        rig.Elapsed = 999;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(120, rig.State.Timers.InMemory);
        rig.Elapsed = 1_000;
        var left = new List<int>();
        while (rig.Wake!.RetryAt <= rig.Elapsed)
        {
            rig.Tick();
            rig.DoAll();
            left.Add(rig.State.Timers.InMemory);
        }
        Assert.Equal([2], rig.Sampled);
        Assert.All(left.Zip(left.Skip(1)), pair => Assert.InRange(pair.First - pair.Second, 0, 10));
        Assert.Equal((80, 40, 0, 40), (rig.State.Timers.InMemory, rig.State.Timers.Topics.CountOf(topics[1]),
            rig.State.Timers.Topics.CountOf(topics[0]), rig.Dropped));
        Assert.Equal(2_000, rig.Wake!.RetryAt);
        Assert.Equal(1_000_001, rig.Wake.DueAt);
    }

    [Fact]
    public void Sequence_of_a_target_that_is_gone_is_removed_and_the_leader_goes_on_where_it_is_not()
    {
        var rig = new ScheduleRig(new ScheduleOptions { SweepMs = 1_000 }) { TargetOf = _ => Found };
        rig.Now = 10;
        rig.Create(new ScheduleHandle(1, Guid.NewGuid()));
        rig.DoAll();
        Assert.Equal(1, rig.State.Sequences[Target]);
        rig.Missing.Add(Target.TopicId);
        rig.Elapsed = 1_000;
        rig.Tick();
        rig.DoAll();
        Assert.Empty(rig.State.Sequences);
        rig.Create(new ScheduleHandle(2, Guid.NewGuid()));
        rig.DoAll();
        Assert.Equal((2L, 2), (rig.State.Sequences[Target], rig.Published.Count));
    }

    [Fact]
    public void Record_that_is_replaced_while_its_target_is_busy_goes_where_its_new_payload_says()
    {
        var rig = new ScheduleRig(new ScheduleOptions { IntentsPerTarget = 1, RecordsPerIntent = 1, RecordsPerBatch = 1 });
        var (first, second) = (new ScheduleHandle(0, Guid.NewGuid()), new ScheduleHandle(1, Guid.NewGuid()));
        var other = new ScheduleTarget(Guid.NewGuid(), 3);
        rig.TargetOf = timer => timer.Reference == 2 ? new(other.TopicId, other) : Found;
        rig.Now = 10;
        rig.Create(first);
        rig.Create(second);
        rig.Create(second);
        rig.Do<AppendScheduleRecords>();
        rig.Do<AppendScheduleRecords>();
        // The first is intended, and the second waits for that: its first payload was read.
        rig.Do<ReadScheduleTargets>();
        rig.Do<ReadScheduleTargets>();
        rig.DoAll();
        Assert.Equal([(Target, first), (other, second)], rig.Published.Select(one => (one.Target, one.Timer.Handle)));
        Assert.Equal([0, 2], rig.Published.Select(one => one.Timer.Reference));
        Assert.Equal(0, rig.State.Timers.InMemory);
    }

    [Fact]
    public void Record_that_is_cancelled_and_scheduled_again_while_its_target_is_busy_is_delivered_once()
    {
        var rig = new ScheduleRig(new ScheduleOptions { IntentsPerTarget = 1, RecordsPerIntent = 2, RecordsPerBatch = 1 });
        rig.TargetOf = _ => Found;
        var handles = Enumerable.Range(0, 3).Select(i => new ScheduleHandle(i, Guid.NewGuid())).ToArray();
        rig.Now = 10;
        rig.Create(handles[0]);
        rig.Do<AppendScheduleRecords>();
        rig.Do<ReadScheduleTargets>();
        rig.Create(handles[1]);
        // The intent of the first, then the second itself.
        rig.Do<AppendScheduleRecords>();
        rig.Do<AppendScheduleRecords>();
        rig.Do<ReadScheduleTargets>();
        rig.Cancel(handles[1]);
        rig.Do<AppendScheduleRecords>();
        rig.Create(handles[1]);
        rig.Do<AppendScheduleRecords>();
        rig.Do<ReadScheduleTargets>();
        rig.DoAll();
        Assert.Equal([handles[0], handles[1]], rig.Published.Select(one => one.Timer.Handle));
        Assert.Equal(0, rig.State.Timers.InMemory);
    }

    [Fact]
    public void Repeated_request_is_one_record_also_after_its_time_and_other_content_is_refused()
    {
        var rig = new ScheduleRig(new ScheduleOptions()) { TargetOf = _ => Found };
        var handle = new ScheduleHandle(5, Guid.NewGuid());
        rig.Create(handle);
        // While it is stored, waits, is intended, and was appended.
        foreach (var step in (Action[])[() => { }, rig.DoAll, Due, rig.DoAll])
        {
            step();
            rig.Create(handle, content: 1);
            Assert.Equal(ScheduleOutcome.OtherContent, rig.Answer);
            rig.Create(handle);
        }
        Assert.Equal(ScheduleOutcome.Scheduled, rig.Answer);
        rig.DoAll();
        Assert.Single(rig.Published);
        rig.Cancel(handle);
        Assert.Equal(ScheduleOutcome.NotFound, rig.Answer);
        Assert.True(rig.State.IsAppended(handle));

        void Due()
        {
            rig.Now = 10;
            rig.Tick();
            rig.Do<ReadScheduleTargets>();
        }
    }

    [Fact]
    public void Records_that_a_target_refuses_wait_are_tried_again_and_keep_no_others_waiting()
    {
        var options = new ScheduleOptions { RefusedPerRetry = 2 };
        ScheduleHandle[] handles = [.. Enumerable.Range(0, 6).Select(i => new ScheduleHandle(5, new Guid(i, 0, 0, new byte[8])))];
        var refused = handles[..4].ToHashSet();
        var rig = new ScheduleRig(options) { TargetOf = _ => Found, Refuses = timer => refused.Contains(timer.Handle) };
        foreach (var handle in handles)
            rig.Create(handle);
        rig.DoAll();
        rig.Now = 5;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(handles[4..], rig.Published.Select(one => one.Timer.Handle));
        Assert.Equal((4, 0L), (rig.State.Timers.InMemory, rig.Dropped));
        // They are in the log as they were scheduled.
        Assert.Equal(handles[..4], rig.Batches.SelectMany(batch => batch).Where(record => record.Copied is not null)
            .Select(record => record.Copied!.Value.Timer.Handle));
        // Two at a time are tried, with growing delays.
        var tries = new List<long>();
        for (var batches = rig.Batches.Count; rig.Elapsed < 100_000; rig.Elapsed = rig.Wake!.RetryAt)
        {
            rig.Tick();
            rig.DoAll();
            if (rig.Batches.Count > batches)
                tries.Add(rig.Elapsed);
            batches = rig.Batches.Count;
        }
        Assert.InRange(tries.Count, 8, 12);
        Assert.Equal(options.MostRefusedRetryMs, tries[^1] - tries[^2]);
        rig.Create(new ScheduleHandle(5, Guid.NewGuid()));
        rig.DoAll();
        Assert.Equal(3, rig.Published.Count);
        // One is cancelled. When the target takes one, all of them are published.
        rig.Cancel(handles[1]);
        rig.DoAll();
        Assert.Equal(ScheduleOutcome.Cancelled, rig.Answer);
        refused.Clear();
        rig.Tick();
        rig.DoAll();
        Assert.Equal(6, rig.Published.Count);
        Assert.DoesNotContain(handles[1], rig.Published.Select(one => one.Timer.Handle));
        Assert.Equal((0, 0L), (rig.State.Timers.InMemory, rig.Dropped));
    }

    [Fact]
    public void Records_that_their_topic_is_known_to_refuse_are_not_decided()
    {
        var isRefused = true;
        var rig = new ScheduleRig(new ScheduleOptions())
        {
            TargetOf = _ => isRefused ? new FoundTarget(Found.TopicId, null) { IsUnknown = true, IsRefused = true } : Found,
        };
        rig.Create(new ScheduleHandle(5, Guid.NewGuid()));
        rig.DoAll();
        rig.Now = 5;
        for (var batches = rig.Batches.Count; rig.Elapsed < 60_000; rig.Elapsed = rig.Wake!.RetryAt)
        {
            rig.Tick();
            rig.DoAll();
            Assert.Equal(batches, rig.Batches.Count);
        }
        isRefused = false;
        rig.Tick();
        rig.DoAll();
        Assert.Single(rig.Published);
    }

    [Fact]
    public void Refused_records_of_a_topic_that_was_deleted_are_dropped_all_at_once()
    {
        var isGone = false;
        var rig = new ScheduleRig(new ScheduleOptions { RefusedPerRetry = 1 })
        {
            TargetOf = _ => isGone ? new FoundTarget(Found.TopicId, null) : Found,
            Refuses = _ => true,
        };
        for (var i = 0; i < 10; i++)
            rig.Create(new ScheduleHandle(5, Guid.NewGuid()));
        rig.DoAll();
        rig.Now = 5;
        rig.Tick();
        rig.DoAll();
        isGone = true;
        rig.Elapsed = rig.Wake!.RetryAt;
        rig.Tick();
        rig.DoAll();
        Assert.Equal((0, 10L), (rig.State.Timers.InMemory, rig.Dropped));
    }

    [Fact]
    public void Cancelled_id_may_name_other_content()
    {
        var rig = new ScheduleRig(new ScheduleOptions()) { TargetOf = _ => Found };
        var handle = new ScheduleHandle(5, Guid.NewGuid());
        rig.Create(handle);
        rig.Cancel(handle);
        rig.Create(handle, content: 1);
        rig.DoAll();
        Assert.Equal(ScheduleOutcome.Scheduled, rig.Answer);
        rig.Now = 5;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(1, Assert.Single(rig.Published).Timer.Content);
    }

    [Fact]
    public void Appended_records_are_forgotten_after_a_while_and_where_they_are_too_many()
    {
        var rig = new ScheduleRig(new ScheduleOptions { RememberedMs = 100, MostRemembered = 3, RecordsPerIntent = 2 })
        {
            TargetOf = _ => Found,
        };
        var handles = Enumerable.Range(0, 8).Select(i => new ScheduleHandle(i, Guid.NewGuid())).ToArray();
        foreach (var handle in handles)
            rig.Create(handle);
        rig.Now = 10;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(handles[^3..], rig.State.Appended.Select(appended => appended.Handle));
        rig.Now = 110;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(3, rig.State.Appended.Count);
        rig.Now = 111;
        rig.Tick();
        rig.DoAll();
        Assert.Empty(rig.State.Appended);
        Assert.False(rig.State.IsAppended(handles[^1]));
    }

    [Fact]
    public void Clock_that_was_far_ahead_delivers_nothing_early_afterwards_and_retries_in_time()
    {
        var rig = new ScheduleRig(new ScheduleOptions()) { TargetOf = _ => Found with { IsUnknown = true, Target = null } };
        var handles = Enumerable.Range(0, 3).Select(i => new ScheduleHandle(i * 1_000, Guid.NewGuid())).ToArray();
        rig.Create(handles[0]);
        rig.Now = 1_000_000_000;
        rig.Create(handles[1]);
        rig.DoAll();
        // Both are tried again in time, though the clock goes back.
        (rig.Now, rig.Elapsed, rig.TargetOf) = (1_000, 200, _ => Found);
        Assert.Equal(200, rig.Wake?.RetryAt);
        rig.Tick();
        rig.Create(handles[2]);
        rig.DoAll();
        Assert.Equal([handles[0], handles[1]], rig.Published.Select(one => one.Timer.Handle));
        rig.Now = 1_999;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(2, rig.Published.Count);
        Assert.Equal(2_000, rig.Wake?.DueAt);
        rig.Now = 2_000;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(3, rig.Published.Count);
    }

    [Fact]
    public void Record_that_became_due_by_a_clock_that_was_set_back_since_waits_again()
    {
        var rig = new ScheduleRig(new ScheduleOptions { IntentsPerTarget = 1, RecordsPerIntent = 1 }) { TargetOf = _ => Found };
        var handles = Enumerable.Range(1, 3).Select(i => new ScheduleHandle(i * 1_000, Guid.NewGuid())).ToArray();
        foreach (var handle in handles)
            rig.Create(handle);
        rig.Do<AppendScheduleRecords>();
        rig.Do<AppendScheduleRecords>();
        rig.Now = 1_000_000;
        rig.Tick();
        rig.Do<ReadScheduleTargets>();
        rig.Do<ReadScheduleTargets>();
        rig.Do<ReadScheduleTargets>();
        // The first is decided; the others wait for their target.
        rig.Now = 1_000;
        rig.DoAll();
        Assert.Equal([handles[0]], rig.Published.Select(one => one.Timer.Handle));
        Assert.Equal(2_000, rig.Wake?.DueAt);
        rig.Now = 3_000;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(handles, rig.Published.Select(one => one.Timer.Handle));
    }

    [Fact]
    public void Clock_that_is_set_far_ahead_counts_when_it_has_lasted_and_one_that_is_set_back_at_once()
    {
        var clock = new ScheduleClock();
        Assert.Equal(1_000_000, clock.Read(1_000_000, 0).Now);
        Assert.Equal(1_060_000, clock.Read(1_060_000, 0).Now);
        Assert.Equal(1_060_010, clock.Read(9_000_000, 10).Now);
        Assert.True(clock.IsHolding);
        Assert.Equal(1_061_000, clock.Read(1_061_000, 1_000).Now);
        Assert.False(clock.IsHolding);
        Assert.Equal(1_062_000, clock.Read(9_000_000, 2_000).Now);
        Assert.Equal(1_071_999, clock.Read(9_009_999, 11_999).Now);
        Assert.Equal(9_010_000, clock.Read(9_010_000, 12_000).Now);
        Assert.Equal(5, clock.Read(5, 12_001).Now);
        Assert.False(clock.IsHolding);
        // A day without a reading is a day.
        Assert.Equal(86_400_005, clock.Read(86_400_005, 86_412_001).Now);
    }

    [Fact]
    public void Records_of_a_topic_that_is_known_again_are_published_in_order()
    {
        var rig = new ScheduleRig(new ScheduleOptions { RecordsPerIntent = 2 })
        {
            TargetOf = _ => Found with { IsUnknown = true, Target = null },
        };
        var handles = Enumerable.Range(0, 9).Select(i => new ScheduleHandle(i, Guid.NewGuid())).ToArray();
        rig.Now = 10;
        foreach (var handle in handles)
            rig.Create(handle);
        rig.DoAll();
        Assert.Empty(rig.Published);
        rig.TargetOf = _ => Found;
        rig.Elapsed = rig.Wake!.RetryAt;
        rig.Tick();
        rig.DoAll();
        Assert.Equal(handles, rig.Published.Select(one => one.Timer.Handle));
        Assert.Equal(long.MaxValue, rig.Wake!.DueAt);
    }

    [Fact]
    public void Records_are_read_as_they_were_written()
    {
        var intent = new ScheduleIntent(new ScheduleTarget(Guid.NewGuid(), 7), 40, 123,
            [new ScheduledTimer(new ScheduleHandle(5, Guid.NewGuid()), 9, -1),
            new ScheduledTimer(new ScheduleHandle(-6, Guid.NewGuid()), 10)]);
        var record = ScheduleRecords.OfIntent(intent);
        var read = ScheduleRecords.ReadIntent(record.Key, record.Value!.Value.Span);
        Assert.Equal((intent.Target, intent.FirstSequence, intent.Origin), (read.Target, read.FirstSequence, read.Origin));
        Assert.Equal(intent.Timers, read.Timers);
        var appended = new AppendedSchedule(intent.Timers[1].Handle, -3, 12);
        var value = ScheduleRecords.OfAppended(appended).Value!.Value.Span;
        Assert.Equal((-3L, (long?)12), (ScheduleRecords.ReadContent(value), ScheduleRecords.ReadAppendedAt(value)));
        var handle = intent.Timers[0].Handle;
        Assert.Equal(handle, ScheduleRecords.ReadHandle(ScheduleRecords.Removal(handle).Key));
        var sequence = ScheduleRecords.OfSequence(Target, 77);
        Assert.Equal((Target, 77L), (ScheduleRecords.ReadTarget(sequence.Key), ScheduleRecords.ReadSequence(sequence.Value!.Value.Span)));
    }

    [Fact]
    public void Malformed_records_and_later_versions_are_refused()
    {
        var state = new ScheduleState(new TimerWheel(new MemoryTimerBuckets(), 1_000, 0));
        var sequence = ScheduleRecords.OfSequence(Target, 1);
        var later = sequence.Value!.Value.ToArray();
        later[0]++;
        foreach (var record in (ScheduleRecord[])[new([], null), new([9], null), new([1, 2], null), sequence with { Value = later },
            sequence with { Value = new byte[3] }, ScheduleRecords.OfScheduled(default, new byte[] { 2, 0, 0, 0, 0, 0, 0, 0, 0 }),
            ScheduleRecords.OfScheduled(default, new byte[8]),
            ScheduleRecords.OfScheduled(default, new byte[] { 1, 0, 0, 0, 0, 0, 0, 0, 0 }),
             ScheduleRecords.OfIntent(new(Target, 0, 0, [default])) with { Value = new byte[20] }])
            Assert.Throws<InvalidDataException>(() => state.Apply(0, record));
    }
}
