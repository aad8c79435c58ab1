namespace OrleansMq.Tests.Client.Producing;

public class SendQueueTests
{
    private const int Rounds = 2000;

    [Fact]
    public void Records_are_neither_duplicated_lost_nor_reordered_under_any_network_fault()
    {
        var first = Seeds.Next();
        var (faults, splits, epochs, acknowledged, failed, doubtful) = (0L, 0L, 0L, 0L, 0L, 0L);
        for (var seed = first; seed < first + Rounds; seed++)
        {
            var simulation = new SendQueueSimulation(seed);
            try
            {
                simulation.Run(steps: 400);
                Check(simulation);
            }
            catch (Exception e)
            {
                Assert.Fail($"{Seeds.Replay(seed, nameof(SendQueueTests))}\n{e}");
            }
            faults += simulation.Faults;
            splits += simulation.Splits;
            epochs += simulation.Epochs;
            acknowledged += simulation.Acknowledged.Count;
            failed += simulation.SurelyFailed.Count;
            doubtful += simulation.Doubtful.Count;
        }
        // The rounds are only meaningful if all of these faults happened often.
        Assert.True(faults > Rounds * 10, $"faults {faults}");
        Assert.True(splits > Rounds, $"splits {splits}");
        Assert.True(epochs > Rounds, $"epochs {epochs}");
        Assert.True(acknowledged > Rounds * 20, $"acknowledged {acknowledged}");
        Assert.True(failed > Rounds, $"failed {failed}");
        Assert.True(doubtful > Rounds, $"doubtful {doubtful}");
    }

    private static void Check(SendQueueSimulation simulation)
    {
        Assert.Equal(simulation.Sent, simulation.Acknowledged.Count + simulation.SurelyFailed.Count + simulation.Doubtful.Count);
        Assert.Equal(simulation.Log.Count, simulation.Log.Distinct().Count());
        Assert.Equal(simulation.Acknowledged.Order(), simulation.Acknowledged);
        var acknowledged = simulation.Acknowledged.ToHashSet();
        Assert.Equal(simulation.Acknowledged, simulation.Log.Where(acknowledged.Contains));
        Assert.Empty(simulation.Log.Intersect(simulation.SurelyFailed));
    }
}
