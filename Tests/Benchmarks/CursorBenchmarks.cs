using System.Diagnostics;
using System.Globalization;
using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>The cursor of a queue without log and network: records a second through hand-out and completion, bytes of transitions for each,
/// and how long a new leader needs for a cursor with a million exceptions.</summary>
internal static class CursorBenchmarks
{
    private const int RecordsPerRound = 100;

    public static int Run(CommandArguments arguments)
    {
        var rounds = arguments.Number("--rounds", 3);
        var records = arguments.Number("--records", 1_000_000);
        Console.WriteLine($"{Environment.ProcessorCount} processors, {rounds} rounds of {records} records, {RecordsPerRound} a transition");
        Measure("in order, one consumer", rounds, () => new CursorRun(consumers: 1, credit: 1_000).Complete(records, isRandom: false));
        Measure("random order, 100 consumers", rounds, () => new CursorRun(consumers: 100, credit: 100).Complete(records, isRandom: true));
        Measure("random order, 10,000 in flight over 10,000 consumers", rounds,
            () => new CursorRun(consumers: 10_000, credit: 1).Complete(records, isRandom: true));
        Measure("random order, a million in flight over 10,000 consumers", rounds,
            () => new CursorRun(consumers: 10_000, credit: 100).Complete(records, isRandom: true));
        var state = new CursorState(0, Guid.NewGuid(), new CursorConfiguration { Name = "c", MaxExceptions = int.MaxValue }, 0);
        state.Apply(new CursorDelta(0, state.Incarnation)
        {
            Settlements = [new Settlement(SettlementCause.Accepted, records, [.. Offsets(1, records, 2).Select(OffsetRange.Of)])],
        });
        MeasureFailover("settled out of order", rounds, state);
        state.Apply(new CursorDelta(0, state.Incarnation)
        {
            Returns = [.. Offsets(0, records, 2).Select(offset => new ReturnedRecord(offset, new DeliveryCounts(1, 1), 0))],
        });
        MeasureFailover("settled, and as many returned between them", rounds, state);
        return 0;
    }

    private static IEnumerable<long> Offsets(long first, int count, int step) =>
        Enumerable.Range(0, count).Select(i => first + ((long)i * step));

    private static void Measure(string label, int rounds, Func<(double Rate, double Bytes)> run)
    {
        run();
        var results = Enumerable.Range(0, rounds).Select(_ => run()).ToList();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{label}: {Statistics.Median([.. results.Select(result => result.Rate)]):N0} records/s "
            + $"(best {results.Max(result => result.Rate):N0}), {results[^1].Bytes:N1} bytes of log each"));
    }

    // From the bytes of a snapshot to the first delivery.
    private static void MeasureFailover(string label, int rounds, CursorState state)
    {
        var cursors = new LogCursors();
        cursors.Apply(0, [new CursorStatement(0, state.Incarnation, CursorStateFormat.Encode(state))]);
        var snapshot = cursors.EncodeSnapshot();
        var (decoded, served) = (new List<double>(), new List<double>());
        for (var round = 0; round <= rounds; round++)
        {
            GC.Collect();
            var watch = Stopwatch.StartNew();
            var restored = LogCursors.TryDecodeSnapshot(snapshot)!.Cursors[0];
            decoded.Add(watch.Elapsed.TotalMilliseconds);
            var run = new CursorRun(restored.Clone(), consumers: 1, credit: 100);
            if (run.InFlight != 100)
                throw new InvalidOperationException($"The new leader handed {run.InFlight} records out.");
            served.Add(watch.Elapsed.TotalMilliseconds);
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"failover, {state.Settled.Count:N0} {label}: snapshot of "
            + $"{snapshot.Length / 1024.0 / 1024:N1} MB, decoded in {Statistics.Median([.. decoded.Skip(1)]):N0} ms, first delivery after "
            + $"{Statistics.Median([.. served.Skip(1)]):N0} ms (cold {served[0]:N0} ms)"));
    }

    /// <summary>A cursor whose transitions come into force a round after they are written.</summary>
    private sealed class CursorRun
    {
        private readonly Random _random = new(7);
        private readonly Cursor _cursor;
        private readonly List<CursorEffect> _effects = [];
        private readonly List<(LockToken Lock, long Offset)> _inFlight = [];
        private readonly Queue<(LockToken Lock, long Offset)> _ordered = [];
        private readonly bool _isOrdered;
        private AppendTransitions? _append;
        private long _end;
        private long _bytes;
        private long _requests;
        private long _answers;

        public CursorRun(int consumers, int credit)
            : this(null, consumers, credit)
        {
        }

        public CursorRun(CursorState? state, int consumers, int credit)
        {
            _isOrdered = consumers == 1;
            _cursor = new Cursor(0, state, new LeaderTerm(1, 0, 0), CursorRules.Shipped);
            _end = state is null ? 0 : state.Settled.Max + 1_000;
            Handle(new ExtendLease(long.MaxValue));
            Handle(new Advance(_end, _end, []));
            if (state is null)
                Handle(new Begin(++_requests, Guid.NewGuid(), new CursorConfiguration { Name = "c", MaxExceptions = 100_000_000 }, 0));
            Commit();
            for (var consumer = 1; consumer <= consumers; consumer++)
            {
                Handle(new Attach(consumer, 0, IsWindow: true, LockDurationMs: 30_000));
                Handle(new GrantCredit(consumer, credit));
            }
            Commit();
        }

        public int InFlight => _isOrdered ? _ordered.Count : _inFlight.Count;

        /// <summary>Publishes and completes records, with as many in flight as there is credit.</summary>
        public (double Rate, double Bytes) Complete(int records, bool isRandom)
        {
            // All credit is used before the clock starts.
            for (var before = -1; before < InFlight;)
            {
                before = InFlight;
                Publish(100_000);
            }
            Publish(records);
            (_bytes, _answers) = (0, 0);
            var watch = Stopwatch.StartNew();
            for (var done = 0; done < records; done++)
            {
                var (token, offset) = isRandom ? TakeRandom() : _ordered.Dequeue();
                Handle(new Settle(++_requests, token, OffsetRange.Of(offset)));
                if (done % RecordsPerRound == RecordsPerRound - 1)
                    Commit();
            }
            Commit();
            Commit();
            var seconds = watch.Elapsed.TotalSeconds;
            if (_answers < records)
                throw new InvalidOperationException($"{_answers} of {records} completions were answered.");
            return (records / seconds, (double)_bytes / records);
        }

        private (LockToken Lock, long Offset) TakeRandom()
        {
            var index = _random.Next(_inFlight.Count);
            var taken = _inFlight[index];
            _inFlight[index] = _inFlight[^1];
            _inFlight.RemoveAt(_inFlight.Count - 1);
            return taken;
        }

        private void Publish(int records)
        {
            _end += records;
            Handle(new Advance(_end, _end, []));
            Commit();
            Commit();
        }

        // What is written comes into force.
        private void Commit()
        {
            if (_append is not { } append)
                return;
            _append = null;
            var offset = _end++;
            Handle(new TransitionsAppended(append.Number, offset));
            Handle(new Advance(_end, _end, [OffsetRange.Of(offset)]));
        }

        private void Handle(CursorCommand command)
        {
            _effects.Clear();
            _cursor.Handle(command, 1_000, _effects);
            foreach (var effect in _effects)
            {
                if (effect is Deliver deliver)
                    Take(deliver);
                else if (effect is AppendTransitions append)
                    Write(append);
                else if (effect is Answer { Outcome: CursorOutcome.Done })
                    _answers++;
            }
        }

        private void Take(Deliver deliver)
        {
            foreach (var record in deliver.Records)
            {
                if (_isOrdered)
                    _ordered.Enqueue((deliver.Lock, record.Offset));
                else
                    _inFlight.Add((deliver.Lock, record.Offset));
            }
        }

        private void Write(AppendTransitions append)
        {
            using var batch = new RecordBatchBuilder();
            CursorControlRecord.AddTo(batch, 1_000, append.Transitions);
            _bytes += batch.Build().Length;
            _append = append;
        }
    }
}
