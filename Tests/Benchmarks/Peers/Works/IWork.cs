using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>A measured load on a broker, including an uncounted warm-up.</summary>
internal interface IWork
{
    /// <summary>The settings with which the broker must be started.</summary>
    BrokerSettings Settings { get; }

    /// <summary>What this machine lacks besides the broker; null if nothing.</summary>
    string? Lacks { get; }

    /// <summary>Runs the work on a newly started broker.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="scale">The share of the records: 1, or less for a short run.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    /// <returns>One measurement for each step, always in the same order.</returns>
    /// <exception cref="PeerFailedException">The client failed.</exception>
    /// <exception cref="Load.LoadFailedException">The broker failed.</exception>
    Task<IReadOnlyList<Measurement>> RunAsync(RunningBroker broker, double scale, CancellationToken cancellationToken);
}

/// <summary>A broker and its work.</summary>
internal sealed record Contender(IBrokerUnderTest Broker, IWork Work)
{
    /// <summary>Why the contender cannot take part; null if it can.</summary>
    public string? Lacks => Broker.Lacks(Work.Settings) ?? Work.Lacks;
}

/// <summary>Two contenders that run alternately. Usually the work is the same; where the clients differ, it is the same for the broker's
/// user.</summary>
/// <param name="Name">The name for <c>--only</c>, such as <c>produce-100</c>.</param>
/// <param name="About">The work with all relevant settings, in one sentence.</param>
/// <param name="Peer">The name for <c>--against</c>, such as <c>kafka</c>.</param>
/// <param name="Ours">The numerator of the ratios.</param>
/// <param name="Theirs">The denominator of the ratios.</param>
internal sealed record Comparison(string Name, string About, string Peer, Contender Ours, Contender Theirs);
