using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Topics;

/// <summary>Settings of a topic as the command line names them.</summary>
internal static class TopicSettings
{
    /// <summary>Reads <c>KEY=VALUE</c>; a value may hold further <c>=</c>, and may be empty.</summary>
    /// <exception cref="CommandFailedException">One has no <c>=</c> or no key, or a key stands twice.</exception>
    public static Dictionary<string, string> Parse(IEnumerable<string> settings)
    {
        var parsed = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var setting in settings)
        {
            var equals = setting.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
                throw CommandFailedException.Usage($"--config '{setting}' is not KEY=VALUE. Write it like --config retention.ms=86400000.");
            if (!parsed.TryAdd(setting[..equals], setting[(equals + 1)..]))
                throw CommandFailedException.Usage($"--config names '{setting[..equals]}' twice.");
        }
        return parsed;
    }
}
