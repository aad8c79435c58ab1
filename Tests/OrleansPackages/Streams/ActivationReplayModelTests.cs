using System.Globalization;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Streams;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>
/// Replays of activations from seeds: activations that end and give tokens in their first call, in later ones and in the middle of an
/// observer's; dispatchers whose sessions end while their calls are still on their way; readings that come late, and observers that fail.
/// What the activation knows and decides is that of the package; its class's cursor and the readings are repeated here.
/// </summary>
public sealed class ActivationReplayModelTests(ITestOutputHelper output)
{
    // From 0 on in every run, and as many new ones above them.
    private const int Seeds = 1_000;

    [Fact]
    public void Activation_receives_every_event_from_its_token_on_once_and_in_order_whatever_comes_late()
    {
        if (int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), CultureInfo.InvariantCulture, out var given))
        {
            Run(new World(given));
            return;
        }
        var first = Random.Shared.Next(Seeds, int.MaxValue - Seeds);
        output.WriteLine($"figures: replays of activations, seeds 0 to {Seeds - 1} and {first} to {first + Seeds - 1}");
        var (replays, letters, stale) = (0, 0, 0);
        foreach (var seed in Enumerable.Range(0, Seeds).Concat(Enumerable.Range(first, Seeds)))
        {
            var world = new World(seed);
            Run(world);
            replays += world.Replays;
            letters += world.Letters.Count;
            stale += world.Stale;
        }
        output.WriteLine($"{replays} replays that ended, {letters} dead letters, {stale} late calls");
        Assert.True(replays > 2 * Seeds && letters > Seeds / 5 && stale > 2 * Seeds, "the model replays, fails, and calls late");
    }

    private void Run(World world)
    {
        try
        {
            world.Run();
        }
        catch (Exception failure)
        {
            output.WriteLine($"OMQ_SEED={world.Seed}");
            throw new InvalidOperationException($"OMQ_SEED={world.Seed}: {failure.Message}", failure);
        }
    }

    private class NoBroker : DispatchProxy
    {
        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => throw new NotSupportedException(targetMethod?.Name);
    }

    private sealed record Call(int First, int Count, int Session);

    private sealed class Reading(ActivationReplay replay, int position)
    {
        public ActivationReplay Replay => replay;
        public int Position { get; set; } = position;
        public int? End { get; set; }
        public int Failures { get; set; }
    }

    private sealed class World : IStreamObserver, IGrainContextAccessor
    {
        private const int Events = 50;
        private const int Attempts = 3;
        private static readonly Guid s_subscription = Guid.NewGuid();
        private static readonly StreamId s_stream = StreamId.Create("orders", "k");
        // The options alone are asked for.
        private static readonly ServiceProvider s_services = new ServiceCollection().AddLogging()
            .AddSingleton(new OrleansMqClient(DispatchProxy.Create<IBroker, NoBroker>()))
            .AddKeyedSingleton<IStreamProvider>("test", static (services, _) =>
                new OrleansMqStreamProvider("test", new OrleansMqStreamOptions(), services)).BuildServiceProvider();
        private readonly Random _random;
        private readonly ClassPlace _place = new(Guid.NewGuid(), new TopicPartition("orders", 0), "streams:test:class", Guid.NewGuid());
        private readonly List<Call> _calls = [];
        private readonly List<Reading> _readings = [];
        private readonly HashSet<int> _received = [];
        // Events that always fail.
        private readonly List<int> _failing = [];
        // What the replays of this activation have given up, and it has not received since then.
        private readonly HashSet<int> _givenUp = [];
        private StreamConsumer _consumer = null!;
        // The next event that the activation is owed since its last token; null: it has none. It may then receive some again that an
        // earlier one has had.
        private int? _next;
        // What is below it a grain has asked to pass over, by a token beyond what was delivered.
        private int _passed;
        private int _end;
        private int _floor;
        private int _failures;
        private int _session;
        private bool _isQuiet;

        public World(int seed)
        {
            Seed = seed;
            _random = new Random(seed);
            TakesBatches = _random.Next(3) == 0;
            _failing.AddRange(Enumerable.Range(0, _random.Next(3)).Select(_ => _random.Next(Events)));
            Activate();
        }

        public int Seed { get; }
        public int Replays { get; private set; }
        public int Stale { get; private set; }
        public HashSet<int> Letters { get; } = [];
        public bool TakesBatches { get; }
        public IGrainContext GrainContext => null!;

        public void Run()
        {
            for (var step = 0; step < 600; step++)
                Step();
            (_isQuiet, _end) = (true, Events);
            for (var step = 0; step < 5_000 && (_floor < _end || _readings.Count > 0); step++)
                Step();
            Assert.True(_floor == _end && _readings.Count == 0, $"it stands still: the cursor at {_floor} of {_end}");
            Assert.True(_next is null || AfterLetters(_next.Value) == _end, $"the activation has had what is below {_next} of {_end}");
            Assert.True(Reached() == _end, $"event {Reached()} was delivered to no activation");
        }

        public Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, int first, int end, IServiceProvider services)
        {
            for (var index = first; index < end; index++)
            {
                var offset = (int)delivery.Items[index].Offset;
                // A batch fails as a whole.
                if (TakesBatches ? index == first && Fails(index, end) : Fails(index, index + 1))
                    return Task.FromResult(new DeliveryAnswer(TakesBatches ? 0 : index - first, DeliveryOutcome.Failed, "thrown"));
                Assert.True(_next is { } next ? offset == next || offset == AfterLetters(next) : offset <= Reached(),
                    $"event {offset} comes in place of {_next}");
                _received.Add(offset);
                _givenUp.Remove(offset);
                // The grain gives a token while it handles the event.
                if (!_isQuiet && _random.Next(40) == 0 && (index == end - 1 || !TakesBatches))
                    Replay();
                else if (_next is not null)
                    _next = offset + 1;
            }
            return Task.FromResult(new DeliveryAnswer(end - first, DeliveryOutcome.Served));

            bool Fails(int from, int to) => (!_isQuiet && _random.Next(12) == 0)
                || _failing.Exists(offset => offset >= delivery.Items[from].Offset && offset <= delivery.Items[to - 1].Offset);
        }

        public Task<Exception?> GivenUpAsync(long offset, Exception cause)
        {
            if (_next is not null)
                _next = (int)offset + 1;
            return Task.FromResult<Exception?>(null);
        }

        private int Reached() => Enumerable.Range(0, _end).TakeWhile(offset => offset < _passed || _received.Contains(offset)
            || Letters.Contains(offset)).Count();

        private int AfterLetters(int next)
        {
            while (Letters.Contains(next))
                next++;
            return next;
        }

        private void Step()
        {
            switch (_random.Next(_isQuiet ? 4 : 12))
            {
                case 0 when _floor < _end && !_calls.Exists(call => call.Session == _session):
                    _calls.Add(new Call(_floor, 1 + _random.Next(Math.Min(5, _end - _floor)), _session));
                    break;
                case 1 when _calls.Count > 0:
                    Deliver(_calls[_random.Next(_calls.Count)]);
                    break;
                case 2 or 3 when _readings.Count > 0:
                    Read(_readings[_random.Next(_readings.Count)]);
                    break;
                case 4 or 5 or 6:
                    _end = Math.Min(Events, _end + 1);
                    break;
                case 7:
                    // The session of the dispatcher ends, and its call is still on its way.
                    _session++;
                    break;
                case 8 when _random.Next(3) == 0:
                    Replay();
                    break;
                case 9 when _random.Next(5) == 0:
                    Activate();
                    break;
                default:
                    break;
            }
        }

        private void Activate()
        {
            _consumer = new StreamConsumer(this, s_services);
            _next = null;
            _givenUp.Clear();
            // Readings end with their activation. Calls fail, or come to the next one.
            _readings.Clear();
            _calls.RemoveAll(call => call.Session == _session || _random.Next(2) == 0);
            if (_random.Next(2) == 0)
                Replay();
            else
                _consumer.Attach(s_subscription, this);
        }

        private void Replay()
        {
            // What the observer fails with may be mended by then.
            if (_random.Next(20) == 0)
                _failing.Clear();
            var from = _random.Next((_random.Next(20) == 0 ? _end : Reached()) + 1);
            _passed = Math.Max(_passed, from);
            var replay = new ActivationReplay(s_subscription, _place, from, _consumer, client: null!);
            _consumer.Replay(this, replay);
            _readings.Add(new Reading(replay, from));
            _next = from;
        }

        private void Read(Reading reading)
        {
            // After the activation has the replay.
            if (reading.End is not { } end)
            {
                reading.End = _end;
                return;
            }
            if (reading.Position >= end)
            {
                Of(_consumer.EndAsync(reading.Replay, reading.Position));
                _readings.Remove(reading);
                Replays++;
                return;
            }
            var delivery = DeliveryOf(reading.Position, 1 + _random.Next(Math.Min(5, _end - reading.Position)));
            var answer = Of(_consumer.ObserveAsync(reading.Replay, delivery, 0, delivery.Items.Length));
            if (answer.Outcome == DeliveryOutcome.Removed)
            {
                _readings.Remove(reading);
                return;
            }
            (reading.Position, reading.Failures) = (reading.Position + answer.Count, answer.Count > 0 ? 0 : reading.Failures);
            if (answer.Outcome != DeliveryOutcome.Failed || ++reading.Failures < Attempts)
                return;
            _givenUp.Add(reading.Position);
            Of(_consumer.GiveUpAsync(reading.Replay, reading.Position, new InvalidOperationException("thrown")));
            (reading.Position, reading.Failures) = (reading.Position + 1, 0);
        }

        private void Deliver(Call call)
        {
            _calls.Remove(call);
            var answer = Of(_consumer.DeliverAsync(DeliveryOf(call.First, call.Count)));
            if (call.Session != _session)
            {
                Stale++;
                return;
            }
            (_floor, _failures) = (_floor + answer.Count, answer.Count > 0 ? 0 : _failures);
            Assert.True(answer.Outcome != DeliveryOutcome.Unreadable || _givenUp.Contains(_floor),
                $"event {_floor} is dead-lettered, and was received after it had failed");
            if (answer.Outcome == DeliveryOutcome.Unreadable || (answer.Outcome == DeliveryOutcome.Failed && ++_failures >= Attempts))
            {
                Letters.Add(_floor++);
                _failures = 0;
            }
        }

        private StreamDelivery DeliveryOf(int first, int count) => new("test", s_stream, s_subscription, _place.Queue, 0,
            [.. Enumerable.Range(first, count).Select(static offset => new StreamItem(offset, null))]);

        // Nothing here waits: a call of the activation has ended when it returns.
        private static T Of<T>(Task<T> call)
        {
            Assert.True(call.IsCompleted, "a call waits for another one");
            return call.GetAwaiter().GetResult();
        }
    }
}
