import COniguruma
