using System.Diagnostics;
using System.Security.Cryptography.X509Certificates;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>A partition and its leader.</summary>
/// <param name="Index">Its number in the topic.</param>
/// <param name="Endpoint">HOST:PORT of its leader.</param>
internal readonly record struct LedPartition(int Index, string Endpoint);

/// <summary>Creates a topic and finds the leaders and the offsets of its partitions. Connections have TLS if authorities of the brokers'
/// certificates are given.</summary>
internal static class TopicLayout
{
    private const short TopicAlreadyExists = 36;
    private const long Earliest = -2;
    private const long Latest = -1;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Checks that the broker supports the versions used here.</summary>
    /// <exception cref="LoadFailedException">It does not.</exception>
    public static void CheckVersions(string bootstrap, X509Certificate2Collection? authorities = null)
    {
        using var connection = WireConnection.Open(bootstrap, authorities: authorities);
        connection.Ask(new WireWriter(ApiVersion.ApiVersions).Build());
        if (connection.ReadInt16() is not 0 and var error)
            throw LoadFailedException.Answered(ApiVersion.ApiVersions, bootstrap, error);
        var served = new Dictionary<short, (short Min, short Max)>();
        for (var left = connection.ReadInt32(); left > 0; left--)
            served[connection.ReadInt16()] = (connection.ReadInt16(), connection.ReadInt16());
        foreach (var api in ApiVersion.Needed)
        {
            if (!served.TryGetValue(api.Key, out var range) || api.Version < range.Min || api.Version > range.Max)
                throw new LoadFailedException($"{bootstrap} does not serve {api.Name} in version {api.Version}: another load generator is "
                    + "needed for it.");
        }
    }

    /// <summary>Creates the topic if it does not exist.</summary>
    public static void Create(string bootstrap, string topic, int partitions, short replicationFactor,
        IReadOnlyDictionary<string, string> config, X509Certificate2Collection? authorities = null)
    {
        using var connection = WireConnection.Open(bootstrap, authorities: authorities);
        var request = new WireWriter(ApiVersion.CreateTopics).Int32(1).String(topic).Int32(partitions).Int16(replicationFactor).Int32(0)
            .Int32(config.Count);
        foreach (var (name, value) in config)
            request.String(name).String(value);
        connection.Ask(request.Int32((int)Patience.TotalMilliseconds).Int8(0).Build());
        connection.ReadInt32(); // throttle time
        connection.ReadInt32(); // one topic
        connection.SkipString();
        var error = connection.ReadInt16();
        var message = connection.ReadString();
        if (error is not (0 or TopicAlreadyExists))
            throw new LoadFailedException($"{LoadFailedException.Answered(ApiVersion.CreateTopics, topic, error).Message} {message}");
    }

    /// <summary>Waits until each partition has a leader that has accepted leadership, and all its replicas are in sync.</summary>
    /// <exception cref="LoadFailedException">It takes longer than a minute, or the topic has another partition count.</exception>
    public static IReadOnlyList<LedPartition> WaitForLeaders(string bootstrap, string topic, int partitions,
        X509Certificate2Collection? authorities = null)
    {
        var start = Stopwatch.GetTimestamp();
        while (true)
        {
            var layout = Describe(bootstrap, topic, authorities, out var found);
            if (found > 0 && found != partitions)
                throw new LoadFailedException($"{topic} has {found} partitions, not {partitions}: take another --topic or those "
                    + "--partitions.");
            if (layout.Count == partitions && TryOffsets(topic, layout, Latest, authorities, out _))
                return layout;
            if (Stopwatch.GetElapsedTime(start) > Patience)
                throw new LoadFailedException($"{layout.Count} of {partitions} partitions of {topic} have a leader and all their replicas "
                    + $"in sync after {Patience.TotalSeconds} s: see the broker's log.");
            Thread.Sleep(20);
        }
    }

    /// <summary>Returns the first and the next offset of each partition.</summary>
    /// <exception cref="LoadFailedException">A leader does not answer.</exception>
    public static IReadOnlyDictionary<int, (long First, long Next)> Offsets(string topic, IReadOnlyList<LedPartition> layout,
        X509Certificate2Collection? authorities = null)
    {
        if (!TryOffsets(topic, layout, Earliest, authorities, out var first)
            || !TryOffsets(topic, layout, Latest, authorities, out var next))
            throw new LoadFailedException($"The leaders of {topic} changed during the offset lookup: run it again.");
        return first.ToDictionary(pair => pair.Key, pair => (pair.Value, next[pair.Key]));
    }

    private static List<LedPartition> Describe(string bootstrap, string topic, X509Certificate2Collection? authorities, out int found)
    {
        using var connection = WireConnection.Open(bootstrap, 1 << 20, authorities: authorities);
        connection.Ask(new WireWriter(ApiVersion.Metadata).Int32(1).String(topic).Int8(0).Build());
        connection.ReadInt32(); // throttle time
        var endpoints = new Dictionary<int, string>();
        for (var left = connection.ReadInt32(); left > 0; left--)
        {
            var id = connection.ReadInt32();
            endpoints[id] = $"{connection.ReadString()}:{connection.ReadInt32()}";
            connection.SkipString(); // rack
        }
        connection.SkipString(); // cluster id
        connection.ReadInt32(); // controller
        connection.ReadInt32(); // one topic
        connection.ReadInt16(); // error: the topic has no partitions yet
        connection.SkipString();
        connection.Skip(1); // is internal
        var layout = new List<LedPartition>();
        found = connection.ReadInt32();
        for (var left = found; left > 0; left--)
        {
            var error = connection.ReadInt16();
            var index = connection.ReadInt32();
            var leader = connection.ReadInt32();
            var replicas = connection.ReadInt32();
            connection.Skip(4 * replicas);
            var inSync = connection.ReadInt32();
            connection.Skip(4 * inSync);
            // Before all replicas are in sync, acks=all may be refused or mean fewer copies.
            if (error == 0 && inSync == replicas && endpoints.TryGetValue(leader, out var endpoint))
                layout.Add(new LedPartition(index, endpoint));
        }
        layout.Sort((a, b) => a.Index.CompareTo(b.Index));
        return layout;
    }

    private static bool TryOffsets(string topic, IReadOnlyList<LedPartition> layout, long time, X509Certificate2Collection? authorities,
        out Dictionary<int, long> offsets)
    {
        offsets = [];
        foreach (var broker in layout.GroupBy(partition => partition.Endpoint))
        {
            using var connection = WireConnection.Open(broker.Key, 1 << 20, authorities: authorities);
            var request = new WireWriter(ApiVersion.ListOffsets).Int32(-1).Int8(0).Int32(1).String(topic).Int32(broker.Count());
            foreach (var partition in broker)
                request.Int32(partition.Index).Int64(time);
            connection.Ask(request.Build());
            connection.ReadInt32(); // throttle time
            connection.ReadInt32(); // one topic
            connection.SkipString();
            for (var left = connection.ReadInt32(); left > 0; left--)
            {
                var index = connection.ReadInt32();
                var error = connection.ReadInt16();
                connection.ReadInt64(); // timestamp
                var offset = connection.ReadInt64();
                if (error != 0)
                    return false;
                offsets[index] = offset;
            }
        }
        return true;
    }
}
