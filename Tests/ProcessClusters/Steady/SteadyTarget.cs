namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>What a client does.</summary>
/// <param name="Brokers">The brokers.</param>
/// <param name="Topic">Its topic and its group.</param>
/// <param name="Count">The number of its records.</param>
/// <param name="Login">How it connects; null: in the clear, without a login.</param>
internal sealed record SteadyTarget(string Brokers, string Topic, int Count, SteadyLogin? Login = null)
{
    /// <summary>The pace of writing unless a test sets another.</summary>
    public const int UsualPace = 1300;

    /// <summary>About how many records a second are written. A client that reads its input from the test has no pace.</summary>
    public int RecordsPerSecond { get; init; } = UsualPace;
}
