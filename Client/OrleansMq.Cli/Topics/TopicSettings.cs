using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Topics;

/// <summary>Parses topic settings on the command line.</summary>
internal static class TopicSettings
{
    /// <summary>Parses <c>KEY=VALUE</c>. A value may contain further <c>=</c>, and may be empty.</summary>
    /// <exception cref="CommandFailedException">One has no <c>=</c> or no key, or a key occurs twice.</exception>
    public static Dictionary<string, string> Parse(IEnumerable<string> settings)
    {
        var parsed = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var setting in settings)
        {
            var equals = setting.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
                throw CommandFailedException.Usage($"--config '{setting}' is not KEY=VALUE. Write it like --config retention.ms=86400000.");
            if (!parsed.TryAdd(setting[..equals], setting[(equals + 1)..]))
                throw CommandFailedException.Usage($"--config has '{setting[..equals]}' twice; set it once.");
        }
        return parsed;
    }
}
