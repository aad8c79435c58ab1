using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Producing;

/// <summary>The whole producer with its threads, over a broker that fails at random.</summary>
public class ProducerFaultTests
{
    private const int Rounds = 40;

    [Fact]
    public async Task Acknowledged_records_are_stored_once_and_in_order_under_random_faults()
    {
        var first = Seeds.Next();
        var faults = 0;
        for (var seed = first; seed < first + Rounds; seed++)
        {
            try
            {
                faults += await RunAsync(seed).WaitAsync(Wait.Deadline);
            }
            catch (Exception e)
            {
                Assert.Fail($"{Seeds.Replay(seed, nameof(ProducerFaultTests))}\n{e}");
            }
        }
        Assert.True(faults > Rounds * 5, $"faults {faults}");
    }

    private static async Task<int> RunAsync(int seed)
    {
        var random = new Random(seed);
        var faults = new FaultSchedule(new Random(random.Next()));
        var broker = new ScriptedBroker(("t", 3)) { OnProduce = faults.Next };
        var producer = new Producer<int, int>(broker, new Text(), new Text(), new ProducerOptions
        {
            RetryBackoff = TimeSpan.FromTicks(TimeSpan.TicksPerMillisecond / 4),
            RetryBackoffMax = TimeSpan.FromMilliseconds(1),
            BatchSize = 1024,
            BufferMemory = 20_000,
            MaxRequestSize = 2000,
            // Short, so that some records fail; the producer then starts over.
            DeliveryTimeout = TimeSpan.FromMilliseconds(random.Next(5, 200)),
            Random = new Random(random.Next()),
        });
        var outcomes = new Outcome[1500];
        await using (producer)
        {
            for (var i = 0; i < outcomes.Length; i++)
            {
                var number = i;
                try
                {
                    await producer.EnqueueAsync(new("t", number % 7, number), report => outcomes[number].Set(report));
                }
                catch (ProduceException e)
                {
                    outcomes[number].Set(new DeliveryReport(e.TopicPartition, -1, -1, e));
                }
            }
        }
        Check(broker, outcomes);
        return faults.Count;
    }

    private static void Check(ScriptedBroker broker, Outcome[] outcomes)
    {
        Assert.All(outcomes, outcome => Assert.Equal(1, outcome.Reports));
        for (var partition = 0; partition < 3; partition++)
        {
            var log = broker.Log("t", partition);
            var numbers = log.Select(record => int.Parse(record.Value!)).ToArray();
            Assert.Equal(numbers.Length, numbers.Distinct().Count());
            var acknowledged = numbers.Where(number => outcomes[number].Report.Error is null).ToArray();
            Assert.Equal(acknowledged.Order(), acknowledged);
            Assert.All(numbers,
                number => Assert.False(outcomes[number].Report.Error is { MayBeWritten: false }, $"{number} was reported as not written"));
        }
        for (var number = 0; number < outcomes.Length; number++)
        {
            if (outcomes[number].Report is not { Error: null } report)
                continue;
            var record = report.Offset < 0
                ? Assert.Single(broker.Log("t", report.TopicPartition.Partition), record => record.Value == number.ToString())
                : broker.Log("t", report.TopicPartition.Partition)[(int)report.Offset];
            Assert.Equal((number.ToString(), (number % 7).ToString()), (record.Value, record.Key));
        }
    }

    private struct Outcome
    {
        public int Reports;
        public DeliveryReport Report;

        public void Set(DeliveryReport report)
        {
            Reports++;
            Report = report;
        }
    }

    /// <summary>Draws random faults. Thread safe, since the broker asks from several threads.</summary>
    private sealed class FaultSchedule(Random random)
    {
        private int _count;

        public int Count => _count;

        public Reaction Next(ProduceCall call)
        {
            lock (random)
            {
                var draw = random.Next(20);
                var before = random.Next(3) == 0 ? Task.Delay(random.Next(4)) : Task.CompletedTask;
                if (draw > 5)
                    return Reaction.Normal with { Before = before };
                _count++;
                var reaction = draw switch
                {
                    0 => Reaction.Refuse(ErrorCode.NotLeaderOrFollower),
                    1 => Reaction.Refuse(ErrorCode.NotEnoughReplicas),
                    2 => Reaction.LoseAnswer,
                    3 => Reaction.LoseAnswer with { Answer = ErrorCode.NotEnoughReplicasAfterAppend },
                    4 => Reaction.LoseRequest,
                    _ => Reaction.Refuse(ErrorCode.InvalidRecord),
                };
                return reaction with { Before = before, After = random.Next(3) == 0 ? Task.Delay(random.Next(4)) : Task.CompletedTask };
            }
        }
    }

    private sealed class Text : ISerializer<int>
    {
        public void Serialize(int value, System.Buffers.IBufferWriter<byte> destination) =>
            Serdes.String.Serialize(value.ToString(), destination);
    }
}
