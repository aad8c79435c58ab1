using OrleansMq.Consumers;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Random runs of the activations of one grain that keeps <see cref="ProcessedOffsets"/> in its state, over a model of its storage
/// and of the queues of its topics. Records come at least once, in the order of their source, and again from an earlier one on. Activations
/// are doubled, and die between any two steps; a write is stored, refused or lost, and its answer may not come; a timer writes the state as
/// it is in memory. In the end everything is delivered: each effect is in the stored state once, in the order of its source.</summary>
public sealed class ProcessedOffsetsModelTests(ITestOutputHelper output)
{
    private const int Steps = 300;
    private const int Sources = 3;
    private const int Records = 15;

    /// <summary>A rule that is broken.</summary>
    public enum Mutant
    {
        /// <summary>None is.</summary>
        None,
        /// <summary>A failed write leaves the activation as it is.</summary>
        KeepsStateAfterFailure,
        /// <summary>The change is made and not written with its position, which follows in a write of its own.</summary>
        WritesApart,
        /// <summary>A write does not compare the version of what it replaces.</summary>
        IgnoresVersion,
        /// <summary>Positions of different sources are one.</summary>
        MixesSources,
        /// <summary>A record is settled before its effect is written.</summary>
        SettlesFirst,
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(0)]
    public void Each_effect_is_in_the_stored_state_once_and_in_order(int seed)
    {
        var first = seed == 0 ? Random.Shared.Next() : seed * 10_000;
        output.WriteLine($"seeds from {first}");
        var (faults, again) = (0, 0);
        for (var run = first; run != first + 1_000; run++)
        {
            var model = new Model(run, Mutant.None);
            Assert.True(model.Failure is null, $"seed {run}: {model.Failure}");
            (faults, again) = (faults + model.Faults, again + model.Skipped);
        }
        output.WriteLine($"{faults} faults, {again} records skipped");
        Assert.True(faults > 1_000 && again > 1_000, "the runs have faults, and records come again");
    }

    [Theory]
    [InlineData(Mutant.KeepsStateAfterFailure)]
    [InlineData(Mutant.WritesApart)]
    [InlineData(Mutant.IgnoresVersion)]
    [InlineData(Mutant.MixesSources)]
    [InlineData(Mutant.SettlesFirst)]
    public void Grain_that_breaks_a_rule_is_caught(Mutant mutant)
    {
        var caught = Enumerable.Range(1, 200).Select(seed => new Model(seed, mutant).Failure).OfType<string>().ToList();
        output.WriteLine($"{caught.Count} of 200 runs fail: {string.Join(", ", caught.Distinct().Take(3))}");
        Assert.NotEmpty(caught);
    }

    private sealed class Model
    {
        private static readonly Guid s_topic = Guid.Parse("5a3c1d2e-0000-4000-8000-000000000001");

        private readonly Random _random;
        private readonly Mutant _mutant;
        private readonly List<Activation> _activations = [];
        private readonly int[] _settled = new int[Sources];
        // The store.
        private State _stored = new([], []);
        private int _version;

        private sealed record State(List<RecordPosition> Processed, List<(int Source, int Number)> Effects)
        {
            public State Copy() => new([.. Processed], [.. Effects]);
        }

        private sealed class Activation(State read, int version)
        {
            public ProcessedOffsets Processed { get; private set; } = new() { Last = read.Processed };
            public List<(int Source, int Number)> Effects { get; private set; } = [.. read.Effects];
            public int Version { get; set; } = version;

            public State Current => new([.. Processed.Last], [.. Effects]);
        }

        public Model(int seed, Mutant mutant)
        {
            (_random, _mutant) = (new Random(seed), mutant);
            for (var step = 0; step < Steps; step++)
                Step();
            // The end: what is not settled is delivered to a new activation, and nothing fails.
            _activations.Clear();
            for (var turn = 0; turn < Sources * (Records + 1); turn++)
                Deliver(Some(), turn % Sources, isQuiet: true);
            Failure = Check();
        }

        public int Faults { get; private set; }

        public int Skipped { get; private set; }

        /// <summary>The rule that the end breaks; null for none.</summary>
        public string? Failure { get; }

        private string? Check()
        {
            if (_settled.Any(static settled => settled != Records))
                return "every record is settled in the end";
            for (var source = 0; source < Sources; source++)
            {
                var effects = _stored.Effects.Where(effect => effect.Source == source).Select(static effect => effect.Number).ToList();
                if (effects.Distinct().Count() != effects.Count)
                    return "no effect is there twice";
                if (effects.Count != Records)
                    return "no effect is missing";
                if (!effects.SequenceEqual(effects.Order()))
                    return "effects are in order";
            }
            return null;
        }

        private void Step()
        {
            switch (_random.Next(12))
            {
                case 0:
                    if (_activations.Count > 0)
                        _activations.RemoveAt(_random.Next(_activations.Count));
                    break;
                case 1:
                    if (_activations.Count < 3)
                        _activations.Add(new Activation(_stored, _version));
                    break;
                case 2:
                    // A timer writes the state.
                    Write(Some(), isQuiet: false);
                    break;
                case 3:
                    // A queue is reset, or a session ends before its settlements are stored.
                    var source = _random.Next(Sources);
                    _settled[source] = Math.Max(0, _settled[source] - _random.Next(4));
                    break;
                default:
                    Deliver(Some(), _random.Next(Sources), isQuiet: false);
                    break;
            }
        }

        private Activation Some()
        {
            if (_activations.Count == 0)
                _activations.Add(new Activation(_stored, _version));
            return _activations[_random.Next(_activations.Count)];
        }

        // As a grain consumer does.
        private void Deliver(Activation activation, int source, bool isQuiet)
        {
            var number = _settled[source];
            if (number == Records)
                return;
            var position = RecordPosition.Of(s_topic, _mutant == Mutant.MixesSources ? 0 : source, [7], number);
            if (_mutant == Mutant.SettlesFirst)
                _settled[source]++;
            if (activation.Processed.TryApply(position, () => activation.Effects.Add((source, number))))
            {
                if (!Write(activation, isQuiet))
                    return;
            }
            else
                Skipped++;
            if (_mutant != Mutant.SettlesFirst)
                _settled[source]++;
        }

        // Whether the grain's method goes on. One that throws ends the activation.
        private bool Write(Activation activation, bool isQuiet)
        {
            var next = activation.Current;
            if (_mutant == Mutant.WritesApart && !TryStore(activation, next with { Processed = [.. _stored.Processed] }, isQuiet))
                return false;
            return TryStore(activation, next, isQuiet);
        }

        private bool TryStore(Activation activation, State next, bool isQuiet)
        {
            var fault = isQuiet ? 3 : _random.Next(10);
            var isStored = fault != 0 && (activation.Version == _version || _mutant == Mutant.IgnoresVersion);
            if (isStored)
            {
                _stored = next.Copy();
                activation.Version = ++_version;
            }
            // 1: it is stored, and its answer does not come.
            if (isStored && fault != 1)
                return true;
            Faults++;
            if (_mutant != Mutant.KeepsStateAfterFailure)
                _activations.Remove(activation);
            else
                activation.Version = _version;
            return false;
        }
    }
}
