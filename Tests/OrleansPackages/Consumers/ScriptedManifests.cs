using System.Collections.Immutable;
using System.Net;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Orleans.Metadata;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>The manifest of a cluster of one silo, whose grain classes a test changes.</summary>
internal sealed class ScriptedManifests : IClusterManifestProvider
{
    private readonly Channel<(ClusterManifest Manifest, TaskCompletionSource Taken)> _updates =
        Channel.CreateUnbounded<(ClusterManifest, TaskCompletionSource)>();
    private readonly Lock _lock = new();
    private int _followers;

    public ClusterManifest Current { get; private set; } = Manifest(0);

    public GrainManifest LocalGrainManifest => throw new NotSupportedException();

    public IAsyncEnumerable<ClusterManifest> Updates
    {
        get
        {
            lock (_lock)
                _followers++;
            return ReadAsync();
        }
    }

    /// <summary>Changes the classes. Completes when the follower, if there is one, has worked at the change.</summary>
    public Task SetAsync(params (GrainType Type, string? Property)[] grains) =>
        SetAsync(Manifest(Current.Version.Minor + 1, [.. grains.Select(static grain => (grain.Type, grain.Property, "true"))]));

    /// <summary>Changes the classes to one with a property.</summary>
    public Task SetWithAsync(GrainType type, string property, string value) =>
        SetAsync(Manifest(Current.Version.Minor + 1, (type, property, value)));

    private Task SetAsync(ClusterManifest manifest)
    {
        Current = manifest;
        var taken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (_followers == 0)
                return Task.CompletedTask;
            _updates.Writer.TryWrite((Current, taken));
        }
        return taken.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    private async IAsyncEnumerable<ClusterManifest> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        try
        {
            await foreach (var (manifest, taken) in _updates.Reader.ReadAllAsync(cancellationToken))
            {
                try
                {
                    yield return manifest;
                }
                finally
                {
                    taken.SetResult();
                }
            }
        }
        finally
        {
            lock (_lock)
            {
                // What comes after the last follower has ended waits for none.
                _followers--;
                while (_followers == 0 && _updates.Reader.TryRead(out var rest))
                    rest.Taken.SetResult();
            }
        }
    }

    private static ClusterManifest Manifest(long version, params (GrainType Type, string? Property, string Value)[] grains)
    {
        var silo = new GrainManifest(grains.ToImmutableDictionary(static grain => grain.Type,
            static grain => PropertiesOf(grain.Property, grain.Value)),
            ImmutableDictionary<GrainInterfaceType, GrainInterfaceProperties>.Empty);
        return new ClusterManifest(new MajorMinorVersion(1, version),
            ImmutableDictionary<SiloAddress, GrainManifest>.Empty.Add(SiloAddress.New(IPAddress.Loopback, 1_000, 1), silo));
    }

    private static GrainProperties PropertiesOf(string? property, string value)
    {
        var properties = ImmutableDictionary.Create<string, string>(StringComparer.Ordinal);
        return new GrainProperties(property is null ? properties : properties.Add(property, value));
    }
}

/// <summary>A clock that a test sets.</summary>
internal sealed class SetClock : TimeProvider
{
    private long _ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    public void Advance(TimeSpan by) => Interlocked.Add(ref _ticks, by.Ticks);
}
