namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>What a client does.</summary>
/// <param name="Brokers">The brokers.</param>
/// <param name="Topic">Its topic and its group.</param>
/// <param name="Count">The number of its records.</param>
/// <param name="Login">How it connects; null: in the clear, without a login.</param>
internal sealed record SteadyTarget(string Brokers, string Topic, int Count, SteadyLogin? Login = null)
{
    /// <summary>The numbers before which the client waits for <see cref="SteadyClient.GoOn"/>: ascending, from 0. Empty: it does not
    /// wait.</summary>
    public IReadOnlyList<int> Holds { get; init; } = [];
}
