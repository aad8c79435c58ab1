using System.Net;
using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Requests for dead letters, of which the broker does one at a time.</summary>
public sealed class DeadLetterTurnTests
{
    [Fact]
    public async Task Requests_for_dead_letters_take_turns()
    {
        Engine? engine = null;
        var broker = new RunningBroker { Engine = inner => engine = new Engine(inner) };
        await broker.InitializeAsync();
        try
        {
            await broker.Script.CreateTopicAsync(new NewTopic("orders.dead-letter"));
            await broker.Script.ProduceAsync(new TopicPartition("orders.dead-letter", 0), TestBatches.Of("a"), Acks.All);
            using var refused = await broker.Http.GetAsync("/api/dead-letters/none.dead-letter");
            Assert.Equal(HttpStatusCode.NotFound, refused.StatusCode);

            var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ =>
                broker.Http.GetStringAsync("/api/dead-letters/orders.dead-letter")));

            Assert.All(answers, static answer => Assert.Contains("\"read\":1", answer, StringComparison.Ordinal));
            Assert.Equal((4, 1), (engine!.Fetches, engine.MostAtOnce));
        }
        finally
        {
            await broker.DisposeAsync();
        }
    }

    /// <summary>Counts fetches, each of which takes a while.</summary>
    private sealed class Engine(IBroker inner) : ForwardingBroker(inner)
    {
        private readonly Lock _gate = new();
        private int _now;

        public int Fetches { get; private set; }
        public int MostAtOnce { get; private set; }

        public override async ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default)
        {
            lock (_gate)
            {
                Fetches++;
                MostAtOnce = Math.Max(MostAtOnce, ++_now);
            }
            await Task.Delay(100, cancellationToken);
            var result = await base.FetchAsync(request, cancellationToken);
            lock (_gate)
                _now--;
            return result;
        }
    }
}
