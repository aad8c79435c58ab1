using System.Globalization;

namespace OrleansMq.Silo.Http;

/// <summary>The parts of a path that name a topic and a partition.</summary>
internal static class RouteValues
{
    /// <summary>The topic's name; whether there is such a topic is for the broker to say.</summary>
    public static string Topic(HttpContext http) => (string)http.Request.RouteValues["topic"]!;

    /// <summary>Topic and partition.</summary>
    /// <exception cref="RequestException">The partition is not a number.</exception>
    public static TopicPartition Partition(HttpContext http)
    {
        var text = (string)http.Request.RouteValues["partition"]!;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? new TopicPartition(Topic(http), number)
            : throw new RequestException($"Partition '{text}' in the path: expected a whole number from 0.");
    }
}
