namespace OrleansMq.Grains.Serialization;

/// <summary>A <see cref="BrokerException"/> between silos: code and message; the inner exception stays in the log of the silo it happened
/// on.</summary>
[GenerateSerializer, Immutable]
[Alias("omq.BrokerException.1")]
internal struct BrokerExceptionSurrogate
{
    [Id(0)] public short Code;
    [Id(1)] public string Message;
}

[RegisterConverter]
internal sealed class BrokerExceptionConverter : IConverter<BrokerException, BrokerExceptionSurrogate>
{
    public BrokerException ConvertFromSurrogate(in BrokerExceptionSurrogate surrogate) => new((ErrorCode)surrogate.Code, surrogate.Message);

    public BrokerExceptionSurrogate ConvertToSurrogate(in BrokerException value) =>
        new() { Code = (short)value.Code, Message = value.Message };
}
