using System.Globalization;
using OrleansMq.Streams;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>
/// Splits from seeds: silos that crash, lose what they hold or live on with it, activations that hang, fail, end and get late calls,
/// subscriptions that are removed or resumed from tokens, records that are written late, never, or without an answer, and a topic of
/// subscriptions that is compacted, wholly or in part. The table, its records and the memory of activations are those of the package; the
/// steps of its dispatchers are repeated here, one at a time.
/// </summary>
public sealed class SplitModelTests(ITestOutputHelper output)
{
    private const int Seeds = 1_000;

    [Fact]
    public void Every_subscription_receives_every_event_in_order_whatever_fails()
    {
        var first = int.TryParse(Environment.GetEnvironmentVariable("OMQ_SEED"), CultureInfo.InvariantCulture, out var given) ? given : 0;
        var (splits, again, joined, late) = (0, 0, 0, 0);
        for (var seed = first; seed < (given > 0 ? first + 1 : Seeds); seed++)
        {
            var world = new World(seed);
            try
            {
                world.Run();
            }
            catch (Exception failure)
            {
                output.WriteLine($"OMQ_SEED={seed}");
                throw new InvalidOperationException($"OMQ_SEED={seed}: {failure.Message}", failure);
            }
            splits += world.Splits;
            again += world.SplitsAgain;
            joined += world.Joined;
            late += world.Late;
        }
        output.WriteLine($"{splits} splits, {again} while they joined, {joined} joined, {late} tokens written after they were given up");
        Assert.True(given > 0 || (splits > Seeds && again > Seeds / 50 && joined > Seeds / 2 && late > Seeds / 50),
            "the model splits, joins, and writes tokens late");
    }

    private sealed class Cursor(int floor)
    {
        public int Floor { get; set; } = floor;
        public object? Holder { get; set; }
    }

    private sealed class Call(KnownReplay replay, int first, int count)
    {
        public KnownReplay Replay => replay;
        public int First => first;
        public int Length => count;
        public int Count { get; set; }
        public bool HasBegun { get; set; }
        public bool IsDone { get; set; }
        public bool IsServed => Count == count;
    }

    private sealed class Activation
    {
        public ServedEvents Events { get; } = new();
        public Queue<Call> Calls { get; } = [];
        public HashSet<(Guid Origin, int Offset)> Received { get; } = [];
        public bool HasAsked { get; set; }
        public bool Hangs { get; set; }
    }

    private sealed class Subscriber(Guid id)
    {
        public Guid Id => id;
        public Activation Activation { get; set; } = new();
        public bool IsRemoved { get; set; }
        // A grain has one call at a time.
        public bool Resumes { get; set; }
        // The next event of each token, and of the subscription before the first one.
        public Dictionary<Guid, int> Next { get; } = new() { [Guid.Empty] = 0 };
        // The generation of the last token whose call has returned.
        public int Resumed { get; set; }
        // What may be in force: the token of the last call that has returned, and those of later ones.
        public HashSet<Guid> Origins { get; } = [Guid.Empty];
    }

    // A split that a silo has chosen, and whether its last write was answered, or is known to have ended.
    private sealed class Chosen(Replay replay)
    {
        public Replay Replay => replay;
        public bool HasEnded { get; set; } = true;
    }

    private sealed class Silo
    {
        public SubscriptionTable Table { get; set; } = new();
        public int Read { get; set; }
        public List<IEnumerator<int>> Tasks { get; } = [];
        public HashSet<Guid> Running { get; } = [];
        public Dictionary<Guid, Chosen> Undecided { get; } = [];
    }

    private sealed class World
    {
        private const int Events = 60;
        private static readonly StreamId s_stream = StreamId.Create("orders", "k");
        private readonly Random _random;
        private readonly List<(byte[] Key, byte[]? Value)?> _log = [];
        private readonly Guid _queue = Guid.NewGuid();
        private readonly Cursor _shared = new(0);
        private readonly Dictionary<Guid, Cursor> _replays = [];
        private readonly List<Silo> _silos = [new(), new(), new()];
        private readonly List<Subscriber> _subscribers = [];
        // Calls of grains, and the ends of sessions: they go on without a silo.
        private readonly List<IEnumerator<int>> _others = [];
        private int _end;
        private bool _isQuiet;

        public World(int seed) => _random = new Random(seed);

        public int Splits { get; private set; }
        public int SplitsAgain { get; private set; }
        public int Joined { get; private set; }
        public int Late { get; private set; }

        public void Run()
        {
            for (var number = 0; number < 3; number++)
            {
                // In the table's order, which then is the same for each run of a seed.
                var subscriber = new Subscriber(new Guid(number + 1, 0, 0, new byte[8]));
                _subscribers.Add(subscriber);
                Write(KeyOf(subscriber), new SubscriptionValue($"reader/{number}", 0, _queue, 0).ToBytes());
            }
            foreach (var silo in _silos)
                silo.Tasks.Add(Serve(silo).GetEnumerator());
            for (var step = 0; step < 2_500; step++)
                Step();
            _isQuiet = true;
            _end = Math.Max(_end, Events);
            foreach (var subscriber in _subscribers)
                subscriber.Activation.Hangs = false;
            for (var step = 0; step < 20_000 && !IsOver(); step++)
                Step();
            foreach (var (subscriber, number) in _subscribers.Where(static subscriber => !subscriber.IsRemoved).Select((s, i) => (s, i)))
            {
                Check(Has(subscriber) == _end, $"subscriber {number} of those left has {Has(subscriber)} of {_end} events");
                Check(subscriber.Origins.Contains(OriginOf(subscriber)), $"a token that was given up is in force for subscriber {number}");
            }
            Check(IsOver(), $"replays do not end: {Describe()}");
            CheckTables();
        }

        private bool IsOver() => _shared.Floor == _end && _subscribers.TrueForAll(s => s.IsRemoved || Has(s) == _end)
            && _silos.TrueForAll(silo => !CaughtUp(silo).Replays.Any()) && _others.Count == 0;

        private Guid OriginOf(Subscriber subscriber) => CaughtUp(_silos[0]).Find(s_stream, subscriber.Id)?.Replay?.Origin ?? Guid.Empty;

        private int Has(Subscriber subscriber) => subscriber.Next[OriginOf(subscriber)];

        private string Describe() => $"shared {_shared.Floor} of {_end}, held {_shared.Holder is not null}; "
            + string.Join("; ", _silos.SelectMany(silo => CaughtUp(silo).Replays.Select(static pair => pair.Subscription.Replay!)
                .Select(replay => $"{replay.Number} {silo.Table.FindStep(replay.Id)}, runs {silo.Running.Contains(replay.Id)}, "
                    + $"{_replays.GetValueOrDefault(replay.Id)?.Floor}")));

        // What a silo reads that starts now, from a topic that is compacted, is what the others have.
        private void CheckTables()
        {
            Sweep(_silos[0]);
            Compact(_log.Count);
            var fresh = CaughtUp(new Silo());
            Check(fresh.FindLeft().Count == 0, "records of replays that are over are left");
            foreach (var silo in _silos)
                Check(CaughtUp(silo).FindLeft().Count == 0, "a silo takes removed records for left ones");
            foreach (var silo in _silos)
            {
                Check(fresh.Find(s_stream).Select(found => (found.Id, found.Replay?.Id, fresh.PartOf(found, 0, _queue)))
                    .SequenceEqual(CaughtUp(silo).Find(s_stream).Select(found => (found.Id, found.Replay?.Id, silo.Table.PartOf(found, 0,
                        _queue)))), "tables differ after compaction");
            }
            Check(_subscribers.TrueForAll(s => !s.IsRemoved || fresh.Find(s_stream, s.Id) is null), "a removed subscription is back");
        }

        private void Step()
        {
            if (!_isQuiet && _random.Next(10) == 0)
                Fault();
            var turn = _random.Next(_subscribers.Count + (_silos.Count * 2) + 1);
            if (turn < _subscribers.Count)
                Observe(_subscribers[turn]);
            else if (turn == _subscribers.Count + (_silos.Count * 2))
                Advance(_others);
            else
                Advance(_silos[(turn - _subscribers.Count) % _silos.Count]);
        }

        private void Fault()
        {
            var (subscriber, silo) = (_subscribers[_random.Next(_subscribers.Count)], _silos[_random.Next(_silos.Count)]);
            switch (_random.Next(24))
            {
                case 0:
                    Crash(silo);
                    break;
                case 1 or 2:
                    // A session ends, and its owner does not know.
                    foreach (var cursor in _replays.Values.Append(_shared).Where(_ => _random.Next(2) == 0))
                        cursor.Holder = null;
                    break;
                case 3 or 4:
                    Activate(subscriber);
                    break;
                case 5:
                    Compact(_random.Next(2) == 0 ? _log.Count : _random.Next(_log.Count + 1));
                    break;
                case 8 when _random.Next(3) == 0:
                    Sweep(silo);
                    break;
                case 6 when _random.Next(8) == 0 && !subscriber.IsRemoved:
                    Unsubscribe(subscriber, silo);
                    break;
                case 7 when _random.Next(2) == 0 && !subscriber.IsRemoved && !subscriber.Resumes:
                    subscriber.Resumes = true;
                    _others.Add(Rewind(subscriber, silo, _random.Next(_end + 1)).GetEnumerator());
                    break;
                case < 15:
                    subscriber.Activation.Hangs = !subscriber.Activation.Hangs && _random.Next(2) == 0;
                    break;
                default:
                    _end = Math.Min(Events, _end + 1);
                    break;
            }
        }

        private void Crash(Silo silo)
        {
            silo.Tasks.Clear();
            silo.Running.Clear();
            silo.Undecided.Clear();
            (silo.Table, silo.Read) = (new SubscriptionTable(), 0);
            foreach (var cursor in _replays.Values.Append(_shared).Where(_ => _random.Next(3) == 0))
                cursor.Holder = null;
            silo.Tasks.Add(Serve(silo).GetEnumerator());
            // Sessions of the silo that is gone end at last.
            _others.Add(Expire().GetEnumerator());

            IEnumerable<int> Expire()
            {
                for (var pause = 0; pause < 20; pause++)
                    yield return 0;
                foreach (var cursor in _replays.Values.Append(_shared))
                    cursor.Holder = null;
            }
        }

        // Calls that wait go to the new activation, fail, or are still on their way.
        private void Activate(Subscriber subscriber)
        {
            var calls = subscriber.Activation.Calls.ToList();
            subscriber.Activation = new Activation();
            foreach (var call in calls)
            {
                if (!call.HasBegun && _random.Next(2) == 0)
                    subscriber.Activation.Calls.Enqueue(call);
                else if (_random.Next(4) == 0)
                    subscriber.Activation.Calls.Enqueue(new Call(call.Replay, call.First, call.Length));
                call.IsDone |= !subscriber.Activation.Calls.Contains(call);
            }
            var resumed = CaughtUp(_silos[_random.Next(_silos.Count)]).Find(s_stream, subscriber.Id);
            if (resumed is not null)
                subscriber.Activation.Events.Begin(KnownReplay.Of(resumed.Replay));
        }

        private void Unsubscribe(Subscriber subscriber, Silo silo)
        {
            var found = CaughtUp(silo).Find(s_stream, subscriber.Id);
            Write(KeyOf(subscriber), null);
            foreach (var call in subscriber.Activation.Calls)
                call.IsDone = true;
            (subscriber.IsRemoved, subscriber.Activation) = (true, new Activation());
            Leave(subscriber, found?.Replay, silo);
        }

        // As a grain that resumes: attached first, then written. The grain calls again after an answer, or when it has given up; a record
        // that is still on its way then comes when it likes.
        private IEnumerable<int> Rewind(Subscriber subscriber, Silo silo, int from)
        {
            var (found, activation) = (CaughtUp(silo).Find(s_stream, subscriber.Id), subscriber.Activation);
            var before = activation.Events.Replay;
            while (found is not null)
            {
                yield return 0;
                var replay = found.Rewind(Guid.Empty, from);
                _replays[replay.Id] = new Cursor(from);
                yield return 0;
                if (subscriber.IsRemoved)
                    yield break;
                // The call goes on where its activation has ended.
                activation.Events.Begin(KnownReplay.Of(replay));
                subscriber.Next[replay.Id] = from;
                subscriber.Origins.Add(replay.Id);
                var ended = new bool[1];
                _others.Add(Send(subscriber, replay, () => ended[0] = true).GetEnumerator());
                for (var pause = _random.Next(60); pause > 0 && !ended[0]; pause--)
                    yield return 0;
                if (!ended[0])
                {
                    activation.Events.GoBack(before);
                    Late++;
                    break;
                }
                if (!CaughtUp(silo).HasRecord(replay.Id))
                    Write(subscriber, replay);
                yield return 0;
                var current = CaughtUp(silo).Find(s_stream, subscriber.Id);
                if (current?.Replay?.Origin == replay.Id)
                {
                    subscriber.Origins.IntersectWith([replay.Id]);
                    subscriber.Resumed = Math.Max(subscriber.Resumed, replay.Generation);
                    Leave(subscriber, found.Replay, silo);
                    break;
                }
                Check(current?.Replay is not { } newest || newest.Generation <= replay.Generation, "a call that comes later was overtaken");
                Leave(subscriber, replay, silo);
                found = current;
            }
            subscriber.Resumes = false;
        }

        // The write of a replay: it takes its time, and may be lost.
        private IEnumerable<int> Send(Subscriber subscriber, Replay replay, Action ended)
        {
            for (var pause = _random.Next(4) == 0 ? _random.Next(100) : 0; pause > 0; pause--)
                yield return 0;
            if (_random.Next(4) > 0)
                Write(subscriber, replay);
            ended();
        }

        private void Write(Subscriber subscriber, Replay replay)
        {
            var key = new NextReplayKey(replay.Id, SubscriptionKeyOf(subscriber)).ToBytes();
            Check(_log.FindLast(record => record is var (other, _) && other.AsSpan().SequenceEqual(key)) is not (_, not null),
                "a replay is in the topic twice");
            Write(key, new NextReplayValue(_queue, replay).ToBytes());
        }

        private void Leave(Subscriber subscriber, Replay? left, Silo silo)
        {
            if (left is null)
                return;
            foreach (var step in (ReplayStep[])[ReplayStep.Joining, ReplayStep.Joined])
                Write(new ReplayKey(left.Id, step).ToBytes(), null);
            if (left.IsSplit)
                Write(new NextReplayKey(left.Id, SubscriptionKeyOf(subscriber)).ToBytes(), null);
            if (silo.Table.HasRecord(left.Origin))
                Write(new NextReplayKey(left.Origin, SubscriptionKeyOf(subscriber)).ToBytes(), null);
            _silos[_random.Next(_silos.Count)].Tasks.Add(DeleteLater(left.Id).GetEnumerator());
        }

        private void Observe(Subscriber subscriber)
        {
            var activation = subscriber.Activation;
            if (!activation.Calls.TryPeek(out var call) || (activation.Hangs && call.HasBegun))
                return;
            if (!call.HasBegun)
            {
                call.HasBegun = true;
                var isFirst = !activation.HasAsked;
                Learn(subscriber);
                if (activation.Events.IsOutdated(call.Replay))
                {
                    call.IsDone = true;
                    activation.Calls.Dequeue();
                    return;
                }
                // Whichever activation has resumed it.
                Check(!isFirst || call.Replay.Generation >= subscriber.Resumed, "an activation begins with what is from before a token");
                activation.Events.Deliver(call.Replay);
                if (activation.Events.Last(_queue, 0) is { } served)
                    call.Count = (int)Math.Clamp(served + 1 - call.First, 0, call.Length);
            }
            else if (!activation.Events.IsOutdated(call.Replay) && !call.IsServed && _random.Next(10) > 0)
            {
                var offset = call.First + call.Count;
                var next = subscriber.Next[call.Replay.Origin];
                Check(offset <= next, $"event {offset} comes before {next}");
                Check(activation.Received.Add((call.Replay.Origin, offset)), $"event {offset} comes again to an activation that lives");
                subscriber.Next[call.Replay.Origin] = Math.Max(next, offset + 1);
                activation.Events.Serve(call.Replay, _queue, 0, offset);
                call.Count++;
                if (!call.IsServed)
                    return;
            }
            else if (!call.IsServed)
            {
                // It failed, or is refused.
                call.IsDone = true;
                activation.Calls.Dequeue();
                return;
            }
            if (!call.IsServed)
                return;
            call.IsDone = true;
            activation.Calls.Dequeue();
        }

        // An activation asks the table once, and then looks at what its silo has read.
        private void Learn(Subscriber subscriber)
        {
            var (activation, silo) = (subscriber.Activation, _silos[_random.Next(_silos.Count)]);
            var table = activation.HasAsked ? silo.Table : CaughtUp(silo);
            activation.HasAsked = true;
            activation.Events.Learn(KnownReplay.Of(table.Find(s_stream, subscriber.Id)?.Replay));
        }

        // The shared cursor, on a silo; and the start of its replays.
        private IEnumerable<int> Serve(Silo silo)
        {
            while (true)
            {
                yield return 0;
                foreach (var (_, subscription) in CaughtUp(silo).Replays.OrderBy(static pair => pair.Subscription.Id).ToList())
                {
                    if (silo.Running.Add(subscription.Replay!.Id))
                        silo.Tasks.Add(Replay(silo, subscription).GetEnumerator());
                }
                if (_shared.Holder is not null || _shared.Floor >= _end)
                    continue;
                var (first, me) = (_shared.Floor, new object());
                _shared.Holder = me;
                var length = 1 + _random.Next(Math.Min(4, _end - first));
                yield return 0;
                var table = CaughtUp(silo);
                var subscriptions = table.Find(s_stream);
                var parts = subscriptions.Select(found => table.PartOf(found, 0, _queue)).ToList();
                var served = 0;
                if (parts.TrueForAll(static part => part.Step != ReplayStep.Joining))
                {
                    var calls = subscriptions.Select((found, index) => Send(found, parts[index], first, length)).ToList();
                    var split = new bool[calls.Count];
                    while (!calls.Where((_, index) => !split[index]).All(static call => call.IsDone))
                    {
                        yield return 0;
                        if (_random.Next(6) > 0 || !calls.Where((_, index) => parts[index].Takes(first + length - 1) && !split[index])
                            .Any(static call => call.IsDone))
                            continue;
                        foreach (var index in Enumerable.Range(0, calls.Count)
                            .Where(index => !calls[index].IsDone && !split[index]).ToList())
                        {
                            foreach (var pause in Split(silo, subscriptions[index], calls[index].First))
                                yield return pause;
                            split[index] = IsPassedOver(silo, subscriptions[index], first);
                        }
                    }
                    yield return 0;
                    // One that failed while others are ahead.
                    foreach (var index in Enumerable.Range(0, calls.Count).Where(index => !split[index] && !calls[index].IsServed
                        && calls.Exists(other => other.First + other.Count > calls[index].First + calls[index].Count)
                        && _random.Next(2) == 0).ToList())
                    {
                        var from = calls[index].First + calls[index].Count;
                        foreach (var pause in Split(silo, subscriptions[index], from))
                            yield return pause;
                        split[index] = IsPassedOver(silo, subscriptions[index], from);
                    }
                    var left = CaughtUp(silo).Find(s_stream).Select(static found => found.Id).ToHashSet();
                    served = calls.Where((_, index) => !split[index] && left.Contains(subscriptions[index].Id))
                        .Select(call => call.First + call.Count - first).DefaultIfEmpty(length).Min();
                }
                yield return 0;
                if (_shared.Holder != me)
                    continue;
                _shared.Floor = Math.Max(_shared.Floor, first + served);
                _shared.Holder = null;
            }
        }

        private bool IsPassedOver(Silo silo, ExplicitSubscription subscription, int from) =>
            silo.Table.Find(s_stream, subscription.Id) is not { } found || !silo.Table.PartOf(found, 0, _queue).Takes(from);

        private Call Send(ExplicitSubscription subscription, SharedPart part, int first, int length)
        {
            var skipped = Enumerable.Range(first, length).TakeWhile(offset => !part.Takes(offset)).Count();
            return Send(subscription, first + skipped, length - skipped);
        }

        private Call Send(ExplicitSubscription subscription, int first, int length)
        {
            var call = new Call(KnownReplay.Of(subscription.Replay), first, length) { IsDone = length == 0 };
            var subscriber = _subscribers.First(other => other.Id == subscription.Id);
            if (length > 0 && !subscriber.IsRemoved)
                subscriber.Activation.Calls.Enqueue(call);
            call.IsDone |= subscriber.IsRemoved;
            return call;
        }

        // Of a write without an answer the next try finds out what became of it, and the same split is written where it was lost.
        private IEnumerable<int> Split(Silo silo, ExplicitSubscription subscription, int from)
        {
            if (!silo.Undecided.TryGetValue(subscription.Id, out var chosen) || !subscription.IsNext(chosen.Replay)
                || (chosen.Replay.From != from && chosen.HasEnded && !CaughtUp(silo).HasRecord(chosen.Replay.Id)))
                silo.Undecided[subscription.Id] = chosen = new Chosen(subscription.Split(Guid.Empty, from, 0));
            var split = chosen.Replay;
            _replays.TryAdd(split.Id, new Cursor((int)split.From));
            yield return 0;
            if (!chosen.HasEnded)
                yield break;
            var subscriber = _subscribers.First(other => other.Id == subscription.Id);
            if (!CaughtUp(silo).HasRecord(split.Id))
            {
                chosen.HasEnded = false;
                var sending = Send(subscriber, split, () => chosen.HasEnded = true).GetEnumerator();
                if (_random.Next(4) == 0)
                {
                    _others.Add(sending);
                    yield break;
                }
                while (sending.MoveNext())
                    yield return 0;
            }
            yield return 0;
            if (!CaughtUp(silo).HasRecord(split.Id) && silo.Table.Find(s_stream, subscription.Id)?.IsContinuedBy(split) == true)
                yield break;
            silo.Undecided.Remove(subscription.Id);
            if (CaughtUp(silo).Find(s_stream, subscription.Id)?.Replay?.Id == split.Id)
            {
                Splits++;
                if (subscription.Replay is { } before)
                {
                    foreach (var step in (ReplayStep[])[ReplayStep.Joining, ReplayStep.Joined])
                        Write(new ReplayKey(before.Id, step).ToBytes(), null);
                    if (before.IsSplit)
                        Write(new NextReplayKey(before.Id, SubscriptionKeyOf(subscriber)).ToBytes(), null);
                }
            }
            else
            {
                if (silo.Table.HasRecord(split.Id))
                    Write(new NextReplayKey(split.Id, SubscriptionKeyOf(subscriber)).ToBytes(), null);
                _silos[_random.Next(_silos.Count)].Tasks.Add(DeleteLater(split.Id).GetEnumerator());
            }
        }

        // A replay, on a silo: its cursor, and how far it is.
        private IEnumerable<int> Replay(Silo silo, ExplicitSubscription subscription)
        {
            var replay = subscription.Replay!;
            if (CaughtUp(silo).FindStep(replay.Id) is not (null or ReplayStep.Joined))
            {
                yield return 0;
                _replays.TryAdd(replay.Id, new Cursor((int)replay.From));
                var isOver = new bool[1];
                silo.Tasks.Add(Deliver(silo, replay, isOver).GetEnumerator());
                foreach (var pause in Join(silo, subscription.Id, replay))
                    yield return pause;
                isOver[0] = true;
            }
            foreach (var pause in DeleteLater(replay.Id))
                yield return pause;
        }

        private IEnumerable<int> Deliver(Silo silo, Replay replay, bool[] isOver)
        {
            while (!isOver[0])
            {
                yield return 0;
                if (!_replays.TryGetValue(replay.Id, out var cursor) || cursor.Holder is not null || cursor.Floor >= _end)
                    continue;
                var (first, me) = (cursor.Floor, new object());
                cursor.Holder = me;
                var length = 1 + _random.Next(Math.Min(4, _end - first));
                yield return 0;
                var served = length;
                if (Find() is { } found)
                {
                    var call = Send(found, first, length);
                    while (!call.IsDone && !isOver[0])
                        yield return 0;
                    served = call.IsServed || Find() is not null ? call.Count : length;
                }
                yield return 0;
                if (cursor.Holder != me)
                    continue;
                cursor.Floor = Math.Max(cursor.Floor, first + served);
                cursor.Holder = null;
            }

            ExplicitSubscription? Find() => CaughtUp(silo).FindStep(replay.Id) == ReplayStep.Joined ? null
                : silo.Table.Find(s_stream).FirstOrDefault(other => other.Replay?.Id == replay.Id);
        }

        private IEnumerable<int> Join(Silo silo, Guid subscription, Replay replay)
        {
            int? end = null;
            var isBound = false;
            while (true)
            {
                yield return 0;
                var step = CaughtUp(silo).FindStep(replay.Id);
                if (step is null or ReplayStep.Joined)
                    yield break;
                if (step == ReplayStep.Joining && !isBound)
                {
                    yield return 0;
                    (end, isBound) = (_end, true);
                }
                yield return 0;
                // Without its cursor it begins again.
                var floor = _replays.TryGetValue(replay.Id, out var cursor) ? cursor.Floor : (int)replay.From;
                _replays.TryAdd(replay.Id, new Cursor((int)replay.From));
                if (end is { } below && floor >= below)
                {
                    yield return 0;
                    if (CaughtUp(silo).FindStep(replay.Id) != step)
                        continue;
                    yield return 0;
                    Write(new ReplayKey(replay.Id, isBound ? ReplayStep.Joined : ReplayStep.Joining).ToBytes(),
                        new ReplayValue(isBound ? below : 0).ToBytes());
                    Joined += isBound ? 1 : 0;
                    continue;
                }
                yield return 0;
                if (CaughtUp(silo).FindStep(replay.Id) != step)
                    continue;
                if (step == ReplayStep.Joining && _random.Next(4) == 0
                    && silo.Table.Find(s_stream, subscription) is { } current && current.Replay?.Id == replay.Id)
                {
                    SplitsAgain++;
                    // A look that fails leaves what an earlier one has seen.
                    foreach (var pause in Split(silo, current, _random.Next(3) == 0 ? _random.Next((int)replay.From, floor + 1) : floor))
                        yield return pause;
                    continue;
                }
                if (!isBound)
                    end = _end;
            }
        }

        private IEnumerable<int> DeleteLater(Guid replay)
        {
            for (var pause = 0; pause < 10; pause++)
                yield return 0;
            _replays.Remove(replay);
        }

        private void Advance(Silo silo) => Advance(silo.Tasks);

        private void Advance(List<IEnumerator<int>> tasks)
        {
            if (tasks.Count == 0)
                return;
            var task = tasks[_random.Next(tasks.Count)];
            if (!task.MoveNext())
                tasks.Remove(task);
        }

        private SubscriptionTable CaughtUp(Silo silo)
        {
            for (; silo.Read < _log.Count; silo.Read++)
            {
                if (_log[silo.Read] is var (key, value))
                    silo.Table.Apply(key, value is null ? null : (ReadOnlyMemory<byte>?)value);
            }
            return silo.Table;
        }

        private void Sweep(Silo silo)
        {
            foreach (var key in CaughtUp(silo).FindLeft())
                Write(key, null);
        }

        // What is below the end, as the topic's leader compacts it.
        private void Compact(int end)
        {
            var seen = new HashSet<string>();
            for (var index = end - 1; index >= 0; index--)
            {
                if (_log[index] is var (key, value) && (!seen.Add(Convert.ToHexString(key))
                    || (value is null && _silos.TrueForAll(silo => silo.Read > index))))
                    _log[index] = null;
            }
        }

        private void Write(byte[] key, byte[]? value) => _log.Add((key, value));

        private static SubscriptionKey SubscriptionKeyOf(Subscriber subscriber) => new("orders", "k"u8.ToArray(), subscriber.Id);

        private static byte[] KeyOf(Subscriber subscriber) => SubscriptionKeyOf(subscriber).ToBytes();

        private static void Check(bool condition, string what) => Assert.True(condition, what);
    }
}
