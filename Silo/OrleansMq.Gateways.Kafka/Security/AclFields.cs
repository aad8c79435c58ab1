using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Security;

/// <summary>The fields of rules and filters, which requests have in the same order.</summary>
internal static class AclFields
{
    /// <summary>What is wrong with a filter that has a value of a newer protocol.</summary>
    public const string UnknownFilter = "The filter has a resource type, pattern type, operation or permission that this broker does not "
        + "know.";

    /// <summary>Reads a rule, whatever its values are.</summary>
    public static AclRule ReadRule(ref RequestReader reader)
    {
        var type = (ResourceType)reader.ReadInt8();
        var name = reader.ReadString();
        var pattern = (AclPattern)reader.ReadInt8();
        var rule = new AclRule(type, pattern, name, reader.ReadString(), reader.ReadString(), (AccessOperation)reader.ReadInt8(),
            (AclPermission)reader.ReadInt8());
        reader.SkipTags();
        return rule;
    }

    /// <summary>Reads a filter, whatever its values are.</summary>
    public static AclFilter ReadFilter(ref RequestReader reader)
    {
        var type = (ResourceType)reader.ReadInt8();
        var name = reader.ReadNullableString();
        var pattern = (AclPattern)reader.ReadInt8();
        var filter = new AclFilter(type, pattern, name, reader.ReadNullableString(), reader.ReadNullableString(),
            (AccessOperation)reader.ReadInt8(), (AclPermission)reader.ReadInt8());
        return filter;
    }
}
