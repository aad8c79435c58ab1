using OrleansMq.Diagnostics;
using OrleansMq.Hosting;

namespace OrleansMq.Gateways.Amqp.Management.Peers;

/// <summary>Asks the brokers of the cluster, this one included. Thread safe.</summary>
/// <param name="own">Answers of this broker.</param>
/// <param name="broker">This broker.</param>
/// <param name="log">The log.</param>
internal sealed class ClusterAnswers(BrokerAnswers own, HostedBroker broker, EngineLog log)
{
    // Of one question.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>The brokers that are registered, in the order of their ids.</summary>
    public int[] Brokers => [.. broker.Metadata.Image.Brokers.Keys.Append(broker.BrokerId).Distinct().Order()];

    /// <summary>Returns whether a broker should answer.</summary>
    public bool IsAlive(int asked) =>
        asked == broker.BrokerId || (broker.Metadata.Image.Brokers.TryGetValue(asked, out var found) && found.IsAlive);

    /// <summary>Asks brokers at the same time.</summary>
    public Task<BrokerPage[]> AskAsync(IEnumerable<int> brokers, PeerQuestion question, CancellationToken cancellationToken) =>
        Task.WhenAll(brokers.Select(async asked =>
            new BrokerPage(asked, await AskAsync(asked, question, cancellationToken).ConfigureAwait(false))));

    /// <summary>Asks a broker.</summary>
    /// <returns>Null: it does not run, does not answer in time, or does not know the question.</returns>
    public async Task<PeerPage?> AskAsync(int asked, PeerQuestion question, CancellationToken cancellationToken)
    {
        if (asked == broker.BrokerId)
            return PeerPage.Read(await own.AnswerAsync(question).ConfigureAwait(false));
        if (!IsAlive(asked))
            return null;
        try
        {
            var answer = await broker.Peers.AskAsync(asked, ManagementGateway.GatewayName, question.Write())
                .WaitAsync(Patience, cancellationToken).ConfigureAwait(false);
            if (answer is { IsEmpty: false } page)
                return PeerPage.Read(page);
            if (answer is null && await broker.Peers.HasGatewayAsync(asked, ManagementGateway.GatewayName)
                .WaitAsync(Patience, cancellationToken).ConfigureAwait(false) == false)
                return PeerPage.Nothing;
            log.Write(EngineLogLevel.Debug, $"AMQP management: broker {asked} has no answer to '{question.Kind}'.");
        }
        catch (Exception fault) when (fault is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            log.Write(EngineLogLevel.Debug, $"AMQP management: broker {asked} did not answer '{question.Kind}'.", fault);
        }
        return null;
    }

    /// <summary>Finds the broker that has something: first this one, and then the others at the same time. A connection is closed at every
    /// broker that has one of its name: names are those of addresses, and the networks of two brokers may have the same.</summary>
    public async Task<Finding> FindAsync(PeerQuestion question, CancellationToken cancellationToken)
    {
        var here = new BrokerPage(broker.BrokerId, await AskAsync(broker.BrokerId, question, cancellationToken).ConfigureAwait(false));
        if (here.Page!.Match == PageMatch.Found && question.Kind != QuestionKind.Close)
            return new Finding([here], []);
        // Also where it is refused here: another broker may have one of the same name.
        var others = await AskAsync(Brokers.Where(one => one != broker.BrokerId), question, cancellationToken).ConfigureAwait(false);
        return new Finding([here, .. others], SilentOf(others));
    }

    /// <summary>Returns the brokers that run and have not answered.</summary>
    public int[] SilentOf(IEnumerable<BrokerPage> pages) =>
        [.. pages.Where(page => page.Page is null && IsAlive(page.Broker)).Select(static page => page.Broker)];
}

/// <summary>The answer of a broker.</summary>
/// <param name="Broker">The broker.</param>
/// <param name="Page">Its answer, or the first page of it; null: there is none.</param>
internal sealed record BrokerPage(int Broker, PeerPage? Page);

/// <summary>The answers to the question for one connection or channel.</summary>
/// <param name="Pages">The answers.</param>
/// <param name="Silent">The brokers that run and have not answered.</param>
internal sealed record Finding(IReadOnlyList<BrokerPage> Pages, IReadOnlyList<int> Silent)
{
    /// <summary>The broker that has it, and its answer; null if none has.</summary>
    public BrokerPage? Found => Pages.FirstOrDefault(static page => page.Page?.Match == PageMatch.Found);

    /// <summary>Whether a broker has it, and the user may not see or close it.</summary>
    public bool IsRefused => Pages.Any(static page => page.Page?.Match == PageMatch.Refused);
}
