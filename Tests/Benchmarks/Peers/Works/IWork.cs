using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>What is done to a broker and measured. It warms the broker up first, and does not count that.</summary>
internal interface IWork
{
    /// <summary>How the broker has to be started for it.</summary>
    BrokerSettings Settings { get; }

    /// <summary>What it needs beside the broker and does not find on this machine; null where it has all.</summary>
    string? Lacks { get; }

    /// <summary>Does it, on a broker that was started afresh.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="scale">The share of the records that it should take: 1, or less where the run is to be short.</param>
    /// <param name="cancellationToken">Ends it early.</param>
    /// <returns>One for each step, in the same order each time.</returns>
    /// <exception cref="PeerFailedException">The client failed.</exception>
    /// <exception cref="Load.LoadFailedException">The broker failed.</exception>
    Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken);
}

/// <summary>A broker and what is done to it.</summary>
internal sealed record Contender(IBrokerUnderTest Broker, IWork Work)
{
    /// <summary>Why it cannot take part; null where it can.</summary>
    public string? Lacks => Broker.Lacks(Work.Settings) ?? Work.Lacks;
}

/// <summary>Two contenders that are run in turns. Mostly the work is the same; where the clients differ, it is the same for the broker's
/// user.</summary>
/// <param name="Name">By which <c>--only</c> picks it, such as <c>produce-100</c>.</param>
/// <param name="About">What is done, with all settings that matter, in one sentence.</param>
/// <param name="Peer">By which <c>--against</c> picks it, such as <c>kafka</c>.</param>
/// <param name="Ours">The one that ratios are of.</param>
/// <param name="Theirs">The one that they are against.</param>
internal sealed record Comparison(string Name, string About, string Peer, Contender Ours, Contender Theirs);
