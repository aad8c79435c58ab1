using OrleansMq.Schedules;

namespace OrleansMq.Tests.Engine.Schedules;

public sealed class ScheduleServiceTests
{
    private static readonly ScheduleTarget Target = new(Guid.NewGuid(), 0);

    [Fact]
    public void Fifty_thousand_records_of_one_second_are_delivered_within_it()
    {
        const int Count = 50_000;
        var log = new List<ScheduleRecord>();
        var state = new ScheduleState(new TimerWheel(new MemoryTimerBuckets(), 60_000, 0));
        var service = new ScheduleService(state, new ScheduleOptions(), ScheduleRules.Shipped);
        var commands = new Queue<ScheduleCommand>();
        var delivered = new List<ScheduledTimer>();
        Do(service.Begin(0));
        for (var i = 0; i < Count; i++)
            Process(new ScheduleRequest(i + 1, new ScheduleHandle(1_000 + i % 1_000, Guid.NewGuid()), new byte[] { 1 }), 0);
        Assert.Empty(delivered);

        var watch = System.Diagnostics.Stopwatch.StartNew();
        Process(new ScheduleTick(), 2_000);
        Assert.Equal(Count, delivered.Count);
        Assert.Equal(delivered.OrderBy(timer => timer.Handle), delivered);
        Assert.Equal(0, service.State.Timers.InMemory);
        Assert.Empty(service.State.Targets);
        Assert.Equal(Count, service.State.NextSequence(Target));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), $"took {watch.Elapsed}");

        void Process(ScheduleCommand command, long now)
        {
            commands.Enqueue(command);
            while (commands.TryDequeue(out var next))
                Do(service.Process(next, now));
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
                        commands.Enqueue(new ScheduleTargetsRead(read.Number, [.. read.Timers.Select(_ => (ScheduleTarget?)Target)]));
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
    public void Records_are_read_as_they_were_written()
    {
        var intent = new ScheduleIntent(new ScheduleTarget(Guid.NewGuid(), 7), 40, 123,
            [new ScheduledTimer(new ScheduleHandle(5, Guid.NewGuid()), 9), new ScheduledTimer(new ScheduleHandle(-6, Guid.NewGuid()), 10)]);
        var record = ScheduleRecords.OfIntent(intent);
        var read = ScheduleRecords.ReadIntent(record.Key, record.Value!.Value.Span);
        Assert.Equal((intent.Target, intent.FirstSequence, intent.DecidedAt), (read.Target, read.FirstSequence, read.DecidedAt));
        Assert.Equal(intent.Timers, read.Timers);
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
            sequence with { Value = new byte[3] }, ScheduleRecords.OfIntent(new(Target, 0, 0, [default])) with { Value = new byte[20] }])
            Assert.Throws<InvalidDataException>(() => state.Apply(0, record));
    }
}
